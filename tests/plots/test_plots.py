"""Charts against plain numpy: what is drawn is what was given."""

import inspect

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from prunekit import formatting, plots
from prunekit.plots import theme
from prunekit.plots.weight_histograms import Bins, CutBins
from tests.latency.diagnosis import drawn
from tests.latency.diagnosis.test_breakeven import table
from tests.plots.test_channel_groups import draw as draw_coupled
from tests.plots.test_compare_charts import COMPARED
from tests.plots.test_learning_curves import epochs
from tests.plots.test_sensitivity_charts import costs, points

RNG = np.random.default_rng(0)


def bins(name="conv1", n=500, edges=None):
    values = RNG.normal(0, 0.1, n)
    counts, edges = np.histogram(values, bins=32 if edges is None else edges, range=(-0.4, 0.4))
    return Bins(name, edges, counts, float(values.mean()), float(values.std()))


def layer_frame(n=4):
    removed = np.linspace(0, 0.9, n)
    return pd.DataFrame(
        {
            "name": [f"layer{i}" for i in range(n)],
            "removed": removed,
            "gone": (removed * 100).astype(int),
            "all": 100,
            "requested": [0.5, *[np.nan] * (n - 1)],
            "ticked": [i != 1 for i in range(n)],
        }
    )


def curve_frame():
    rows = [(s, x, x, v, v - 0.05, min(v + 0.05, 1), 100, 1 - x) for s in ("a", "b") for x, v in ((0.9, 0.3), (0.5, 0.9), (0.0, 0.95))]
    frame = pd.DataFrame(rows, columns=["setting", "requested", "sparsity", "value", "low", "high", "n", "macs"])
    return frame.assign(ratio=1 / (1 - frame["sparsity"]), params=5000 * (1 - frame["sparsity"]), bytes=9000 * (1 - frame["sparsity"]))


def speeds():
    return pd.DataFrame(
        {
            "batch": [1, 8, 1],
            "row": ["1 thread", "1 thread", "2 threads"],
            "value": [2.0, 0.5, 1.0],
            "low": 0.4,
            "high": 2.1,
            "within": ["1.90×", "", ""],
        }
    )


def latency_frame():
    return pd.DataFrame({"candidate": ["dense"] * 20 + ["smaller"] * 20, "ms": [*RNG.normal(10, 1, 20), *RNG.normal(4, 0.5, 20)]})


COLOURS = {"dense": plots.DENSE, "smaller": plots.KEPT}
NORMS = pd.DataFrame({"layer": "a", "place": [0.5, 1.0], "norm": [1.2, 0.8], "filter": [1, 0], "unit": "filter"})
HERE = {name: [np.nan] for name in ("within", "within_low", "within_high")}
RATIOS = pd.DataFrame({"candidate": ["smaller"], "value": [2.5], "low": [2.4], "high": [2.7], **HERE, "macs": [4.0]})
CHANNELS = pd.DataFrame({"channel": range(4), "score": [0.4, 0.1, 0.9, 0.2], "kept": [True, False, True, False]})
SIZES = pd.DataFrame({"label": ["dense", "small"], "bytes": [100, 40], "text": ["100 B", "40 B"], "dense": [True, False]})
KERNELS = RNG.normal(size=(6, 3, 5, 5)).astype(np.float32)
MASK = RNG.random(KERNELS.shape) > 0.5
ALL = {
    "learning_curves": lambda **k: plots.learning_curves(epochs(), dense=0.9, best=3, **k),
    "schedule_chart": lambda **k: plots.schedule_chart(epochs()[["epoch", "loss"]].assign(sparsity=0.5, lr=0.1), **k),
    "recovery_steps": lambda **k: plots.recovery_steps(curve_frame().assign(step=range(6)), **k),
    "sensitivity_panels": lambda **k: plots.sensitivity_panels(points(["a", "b"]), dense=0.9, threshold=0.8, **k),
    "sensitivity_map": lambda **k: plots.sensitivity_map(points(["a", "b"]), costs(["a", "b"]), dense=0.9, **k),
    "weight_pixels": lambda **k: plots.weight_pixels(KERNELS[:, :, 0, 0], MASK[:, :, 0, 0], **k),
    "kernel_tiles": lambda **k: plots.kernel_tiles(KERNELS, MASK, **k),
    "filter_tiles": lambda **k: plots.filter_tiles(np.abs(KERNELS[:, 0]), MASK[:, 0, 0, 0], **k),
    "colour_tiles": lambda **k: plots.colour_tiles(KERNELS, MASK, **k),
    "share_map": lambda **k: plots.share_map(plots.blocks(MASK), **k),
    "overlay": lambda **k: plots.overlay([bins(), bins("b")], **k),
    "multiples": lambda **k: plots.multiples([bins(str(i)) for i in range(5)], **k),
    "norms": lambda **k: plots.norms(NORMS, **k),
    "cut": lambda **k: plots.cut(CutBins(np.linspace(-1, 1, 5), np.ones(4), np.arange(4.0), 0.3), **k),
    "by_layer": lambda **k: plots.by_layer(layer_frame(), **k),
    "coupled": draw_coupled,
    "sizes": lambda **k: plots.sizes(SIZES, **k),
    "strip": lambda **k: plots.strip({"a": np.array([True, False]), "b": np.array([True, True, False])}, **k),
    "ranked": lambda **k: plots.ranked(CHANNELS, **k),
    "matrix": lambda **k: plots.matrix(RNG.normal(size=(3, 4)), RNG.random((3, 4)) > 0.5, **k),
    "kernels": lambda **k: plots.kernels(RNG.normal(size=(10, 3, 3)), [i % 2 == 0 for i in range(10)], **k),
    "quality_curves": lambda **k: plots.quality_curves(curve_frame(), dense=0.95, **k),
    "thumbnail_curve": lambda **k: plots.thumbnail_curve(curve_frame()[:3], dense=0.95, **k),
    "samples": lambda **k: plots.samples(latency_frame(), colours=COLOURS, **k),
    "ratios": lambda **k: plots.ratios(RATIOS, colours=COLOURS, **k),
    "time_by_layer": lambda **k: plots.time_by_layer(drawn.between(4).to_frame(), **k),
    "break_even_map": lambda **k: plots.break_even_map(table(lambda *_: 0.1).to_frame(), **k),
    "break_even_lines": lambda **k: plots.break_even_lines(table(lambda *_: 0.1).crossings(), **k),
    "speed_grid": lambda **k: plots.speed_grid(speeds(), **k),
    **COMPARED,
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_is_drawn_in_the_template_and_keeps_its_view(name, dark):
    fig = ALL[name](dark=dark)
    assert isinstance(fig, go.Figure)
    assert fig.layout.template.layout.font.color == (theme.ink(dark))
    assert fig.layout.uirevision == "prunekit"
    assert fig.layout.title.text is None, "the section says what it is"
    assert fig.to_json()


def test_every_chart_of_the_package_is_tested():
    drawn = {name for name, f in vars(plots).items() if inspect.isfunction(f) and f.__annotations__.get("return") == "go.Figure"}
    assert drawn == set(ALL)


@pytest.mark.parametrize("log", [False, True])
def test_an_overlay_shows_shares_of_each_layer_over_the_same_bins(log):
    one, two = bins(), bins("b", 5000)
    fig = plots.overlay([one, two], log=log)
    for trace, given in zip(fig.data, (one, two), strict=True):
        assert np.allclose(np.asarray(trace.y)[1:-1:2], given.counts / given.counts.sum())
        assert np.array_equal(np.unique(trace.x), given.edges)
    assert fig.layout.yaxis.type == ("log" if log else None)


def test_multiples_share_their_axes():
    fig = plots.multiples([bins(str(i)) for i in range(5)])
    assert len(fig.data) == 5
    matched = [axis.matches for axis in fig.select_yaxes()]
    assert sum(m is None for m in matched) == 1


def test_a_cut_stacks_kept_on_removed_and_marks_the_threshold_twice():
    kept, removed = np.array([3.0, 1, 2, 4]), np.array([0.0, 5, 6, 0])
    fig = plots.cut(CutBins(np.linspace(-2, 2, 5), kept, removed, 1.0))
    by_name = {trace.name: np.asarray(trace.y) for trace in fig.data}
    assert np.array_equal(by_name["kept"], kept)
    assert np.array_equal(by_name["removed"], removed)
    assert sorted(shape.x0 for shape in fig.layout.shapes) == [-1.0, 1.0]
    assert not plots.cut(CutBins(np.linspace(-2, 2, 5), kept, removed, None)).layout.shapes


@pytest.mark.parametrize("n", [4, 30, 80])
def test_bars_by_layer_fill_the_whole_and_mark_what_was_requested(n):
    frame = layer_frame(n)
    fig = plots.by_layer(frame)
    bars = {t.name: t for t in fig.data if isinstance(t, go.Bar) and len(t.x) > 1}
    values = {name: np.asarray(bar.x if bar.orientation == "h" else bar.y, dtype=float) for name, bar in bars.items()}
    assert np.allclose(values["kept"] + values["removed"], 1)
    assert np.allclose(values["removed"], frame["removed"])
    marks = next(t for t in fig.data if t.name == "requested")
    assert np.allclose(marks.x if n <= 40 else marks.y, [0.5])
    assert [row[0] for row in bars["kept"].customdata] == list(range(n))


def test_a_strip_has_one_cell_for_each_channel():
    kept = {"a": np.array([True, False]), "b": np.array([False, True, True])}
    z = np.asarray(plots.strip(kept).data[0].z, dtype=float)
    assert np.array_equal(z[0, :2], [1, 0]) and np.isnan(z[0, 2])
    assert np.array_equal(z[1], [0, 1, 1])


def test_ranked_channels_rise_and_keep_their_names():
    fig = plots.ranked(CHANNELS)
    placed = sorted((x, y, c, t.name) for t in fig.data for x, y, c in zip(t.x, t.y, t.customdata, strict=True))
    assert [p[1] for p in placed] == sorted(CHANNELS["score"])
    assert [(p[2], p[3] == "kept") for p in placed] == [(1, False), (3, False), (0, True), (2, True)]


def test_a_matrix_leaves_zeros_empty():
    weights, mask = RNG.normal(size=(3, 4)), RNG.random((3, 4)) > 0.5
    z = np.asarray(plots.matrix(weights, mask).data[0].z, dtype=float)
    assert np.array_equal(np.isnan(z), ~mask)
    assert np.allclose(z[mask], weights[mask])


def test_kernels_cross_out_exactly_the_removed_filters():
    fig = plots.kernels(RNG.normal(size=(10, 3, 3)), [i % 2 == 0 for i in range(10)])
    assert sum(shape.type == "rect" for shape in fig.layout.shapes) == 5


def test_curves_are_sorted_keep_their_colours_and_carry_bands_and_the_dense_line():
    frame = curve_frame()
    fig = plots.quality_curves(frame, dense=0.95, names=["b", "a"])
    lines = {t.name: t for t in fig.data if t.mode == "lines+markers"}
    assert list(lines["a"].x) == [0.0, 0.5, 0.9]
    assert list(lines["a"].y) == [0.95, 0.9, 0.3]
    assert lines["b"].line.color == plots.run_colour(0)
    assert lines["a"].line.color == plots.run_colour(1)
    partial = plots.quality_curves(frame[frame["setting"] == "a"], dense=0.95, names=["b", "a"])
    assert partial.data[-1].line.color == plots.run_colour(1), "a colour stays while points arrive"
    assert sum(t.fill == "toself" for t in fig.data) == 2
    assert fig.layout.shapes[0].y0 == 0.95 and fig.layout.shapes[0].line.dash == "dash"


def test_samples_show_every_sample_on_one_scale_from_zero():
    frame = latency_frame()
    fig = plots.samples(frame, colours=COLOURS)
    for trace in fig.data:
        assert sorted(trace.x) == sorted(frame.loc[frame["candidate"] == trace.name, "ms"])
        assert trace.boxpoints == "all"
    assert fig.layout.xaxis.range[0] == 0
    medians = frame.groupby("candidate", sort=False)["ms"].median()
    assert [a.x for a in fig.layout.annotations] == pytest.approx(list(medians))


def test_the_grid_of_speed_ups_names_each_figure_and_leaves_what_is_missing_empty():
    trace = plots.speed_grid(speeds()).data[0]
    assert (list(trace.x), list(trace.y)) == (["batch 1", "batch 8"], ["1 thread", "2 threads"])
    assert trace.z[0][0] == -trace.z[0][1] == 1.0, "twice as fast and half as fast are as far from no change"
    assert trace.zmin == -trace.zmax
    assert "2.00×" in trace.text[0][0] and trace.text[0][0].endswith("1.90×"), "and against dense in the same runtime"
    assert np.isnan(trace.z[1][1])


def test_ratios_show_the_interval_and_theory_as_a_hollow_mark():
    _, measured, theory = plots.ratios(RATIOS, colours=COLOURS).data
    assert measured.x[0] + measured.error_x.array[0] == pytest.approx(2.7)
    assert measured.x[0] - measured.error_x.arrayminus[0] == pytest.approx(2.4)
    assert theory.marker.symbol.endswith("open") and theory.x[0] == 4.0
    elsewhere = RATIOS.assign(candidate="dense", within=0.95, within_low=0.9, within_high=1.1)
    *_, here, _ = plots.ratios(elsewhere, colours=COLOURS).data
    assert here.x[0] == 0.95 and here.customdata[0] == "0.95× (0.90 to 1.10)", "slower there, though faster than the baseline"
    low, high = plots.ratios(RATIOS.assign(macs=82.2), colours=COLOURS).layout.xaxis.range
    assert high - np.log10(82.2) > 0.05 * (high - low), "a mark at the edge stands there whole"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1234, "12.3\u202f%"),
        (0.0, "0.0\u202f%"),
        (1.0, "100.0\u202f%"),
        (0.99999, "99.9\u202f%"),
        (1e-6, "< 0.1\u202f%"),
        (-0.5, "\u221250.0\u202f%"),
    ],
)
def test_percent_is_percent_and_never_rounds_to_nothing_or_all(value, shown):
    assert formatting.percent(value) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00\u202fk"),
        (21840, "21.8\u202fk"),
        (999_950, "1.00\u202fM"),
        (11_689_512, "11.7\u202fM"),
        (1.81e9, "1.81\u202fG"),
    ],
)
def test_counts_have_three_figures(number, shown):
    assert formatting.count(number) == shown


def test_other_numbers_read_well():
    assert formatting.size(88123) == "88.1\u202fkB"
    assert formatting.points(-0.006) == "\u22120.6" and formatting.points(0.0001) == "0.0" and formatting.points(0.01) == "+1.0"
    assert formatting.times(2.94) == "2.94×" and formatting.error(3.2e-7) == "3.2e-7" and formatting.error(0) == "0"
    said = [formatting.by_times(before, after, "fewer", "more", "unchanged") for before, after in ((2, 1), (1, 2), (1, 1.001), (1, 0))]
    assert said == ["2.00× fewer", "2.00× more", "unchanged", "unchanged"]
    assert formatting.shape((64, 3, 7, 7)) == "64 × 3 × 7 × 7"
    assert formatting.plural(1, "layer") == "1 layer" and formatting.plural(1200, "layer") == "1\u202f200 layers"


def test_run_colours_are_all_different_in_both_themes():
    for dark in (False, True):
        assert len({plots.run_colour(i, dark) for i in range(8)}) == 8
