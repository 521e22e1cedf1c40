"""Pictures of runs side by side: every value in its place, one colour for a run, captions from what is in view."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.comparison.layers import ALL
from prunekit.comparison.metrics import LETTERS, METRICS
from prunekit.comparison.tradeoff import pareto
from prunekit.evaluation.quality import DENSE
from prunekit.plots import theme
from prunekit.plots.compare_classes import (
    MOST_CLASSES,
    class_dumbbells,
    classes_caption,
    confusion_caption,
    confusion_change,
    most_changed,
    moved,
)
from prunekit.plots.compare_layers import MOST_BARS, layers_beside, layers_caption, letter_colour, weight_outlines, weights_caption
from prunekit.plots.compare_lineage import family_tree, lineage_caption
from prunekit.plots.compare_masks import overlap_by_layer, overlap_caption, overlap_matrix
from prunekit.plots.compare_tradeoff import tradeoff, tradeoff_caption
from prunekit.plots.theme import run_colour

runs = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=6, unique=True)


def named(fig):
    return {trace.name: trace for trace in fig.data if trace.name}


def layers(letters, n, seed=0, dense=True):
    rng = np.random.default_rng(seed)
    rows = []
    for letter in [DENSE] * dense + list(letters):
        for place in range(n):
            width, weights = 8 * (place + 1), 100 * (place + 1)
            gone = 0 if letter == DENSE else int(rng.integers(0, weights))
            after = width if letter == DENSE else int(rng.integers(1, width + 1))
            rows.append((f"layer{place}", letter, width, after, weights, weights - gone, gone / weights))
    return pd.DataFrame(rows, columns=["layer", "letter", "width_before", "width_after", "weights", "kept", "sparsity"])


@pytest.mark.parametrize("dark", [False, True])
def test_a_run_has_one_colour_by_its_letter_and_dense_is_grey(dark):
    assert [letter_colour(letter, dark) for letter in LETTERS] == [run_colour(i, dark) for i in range(6)]
    assert letter_colour(DENSE, dark) == theme.dense(dark)
    assert len({letter_colour(letter, dark) for letter in (DENSE, *LETTERS)}) == 7


@given(runs, st.integers(1, 60), st.sampled_from(["sparsity", "width"]))
def test_every_layer_of_every_run_stands_on_one_axis(letters, n, by):
    frame = layers(letters, n)
    fig = layers_beside(frame, by=by)
    found = named(fig)
    assert set(found) == set(letters) | ({DENSE} if by == "width" else set()), "dense has a bar where it differs from nothing: in widths"
    for letter, trace in found.items():
        rows = frame[frame["letter"] == letter]
        values, names = (trace.y, trace.x) if trace.type == "scatter" else (trace.x, trace.y)
        assert list(names) == list(rows["layer"]) and np.allclose(values, rows["sparsity" if by == "sparsity" else "width_after"])
        assert trace.marker.color == letter_colour(letter)
    assert {trace.type for trace in fig.data} == ({"bar"} if len(found) * n <= MOST_BARS else {"scatter"})
    assert fig.data[0].name == (DENSE if by == "width" else min(letters))


def test_widths_need_no_rows_of_dense():
    with_rows, without = layers("AB", 3), layers("AB", 3)
    without = without[without["letter"] != DENSE]
    assert list(named(layers_beside(without, by="width"))[DENSE].x) == list(named(layers_beside(with_rows, by="width"))[DENSE].x)


@given(st.integers(1, 20), st.integers(0, 99))
def test_the_caption_of_layers_names_the_widest_gap(n, seed):
    frame = layers("AB", n, seed)
    table = frame[frame["letter"] != DENSE].pivot(index="layer", columns="letter", values="sparsity")
    gap = (table["A"] - table["B"]).abs()
    said = layers_caption(frame)
    if gap.max() >= 0.0005:
        assert said.partition("**")[2].partition("**")[0] in gap.index[np.isclose(gap, gap.max())]
    assert "same share" in layers_caption(frame.assign(sparsity=0.5))
    assert layers_caption(frame[:0]) == "Layers follow."


def bins(counts, zeros):
    edges = np.linspace(-1, 1, len(next(iter(counts.values()))) + 1)
    rows = [(letter, a, b, n) for letter, row in counts.items() for a, b, n in zip(edges, edges[1:], row, strict=False)]
    rows += [(letter, 0.0, 0.0, n) for letter, n in zeros.items()]
    return pd.DataFrame(rows, columns=["letter", "left", "right", "count"])


def test_outlines_step_over_the_same_edges_and_leave_zeros_out():
    frame = bins({DENSE: [1, 5, 9, 2], "A": [1, 0, 0, 2]}, {DENSE: 0, "A": 14})
    fig = weight_outlines(frame)
    dense, run = fig.data
    assert (dense.name, run.name) == (DENSE, "A") and dense.fill == "tozeroy" and run.fill == "none"
    assert list(dense.x) == list(run.x) == [-1, -0.5, 0, 0.5, 1]
    assert list(run.y) == [1, 0, 0, 2, 2]
    said = weights_caption(frame)
    assert "Dense 17, A 3" in said and "Not drawn are zeros: A 14" in said and "A has nothing left around zero" in said
    assert weight_outlines(frame, log=True).layout.yaxis.type == "log"


def test_a_single_large_weight_does_not_leave_the_rest_a_needle():
    counts = [0] * 40
    counts[19], counts[20], counts[39] = 5000, 5000, 1
    assert weight_outlines(bins({DENSE: counts}, {})).layout.xaxis.range == pytest.approx((-0.05, 0.05))


def overlaps(pairs):
    rows = []
    for first, second, per_layer in pairs:
        for name, (both, either, expected) in {**per_layer, ALL: tuple(map(sum, zip(*per_layer.values(), strict=True)))}.items():
            rows.append((first, second, name, both, either, both / either, expected / 10))
    return pd.DataFrame(rows, columns=["first", "second", "layer", "both", "either", "jaccard", "expected"])


def test_the_matrix_of_masks_is_symmetric_and_has_no_diagonal():
    frame = overlaps([("A", "B", {"x": (1, 4, 1), "y": (1, 4, 1)}), ("A", "C", {"x": (3, 4, 1)}), ("B", "C", {"x": (4, 4, 1)})])
    trace = overlap_matrix(frame).data[0]
    values = np.asarray(trace.z, dtype=float)
    assert list(trace.x) == ["A", "B", "C"] and np.isnan(np.diag(values)).all()
    assert (values[0, 1], values[0, 2], values[1, 2]) == (0.25, 0.75, 1.0)
    assert np.array_equal(values, values.T, equal_nan=True)
    said = overlap_caption(frame)
    assert said.startswith("B and C agree most: 100.0") and "A and B agree least (25.0" in said
    assert "none of these runs removed anything" in overlap_caption(frame[:0])


def test_masks_by_layer_stand_beside_chance_without_the_row_of_all():
    fig = overlap_by_layer(overlaps([("A", "B", {"x": (1, 4, 2), "y": (3, 4, 1)})]))
    bar, chance = fig.data
    assert list(bar.y) == list(chance.y) == ["x", "y"]
    assert list(bar.x) == [0.25, 0.75] and list(chance.x) == [0.2, 0.1]


def classes(values, n=10):
    """Rows of ``by_class`` from accuracies by letter, the dense model's first."""
    dense = values[DENSE]
    rows = [
        (place, f"class{place}", letter, n, value, value - dense[place] if letter != DENSE else np.nan, abs(value - dense[place]) > 0.3)
        for letter, row in values.items()
        for place, value in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["class", "name", "letter", "n", "accuracy", "change", "significant"])


@given(runs, st.integers(1, 12), st.integers(0, 99))
def test_dumbbells_hold_every_class_of_every_run(letters, n, seed):
    rng = np.random.default_rng(seed)
    frame = classes({DENSE: rng.random(n), **{letter: rng.random(n) for letter in sorted(letters)}})
    fig = class_dumbbells(frame)
    for letter, trace in named(fig).items():
        rows = frame[frame["letter"] == letter]
        assert np.allclose(trace.x, rows["accuracy"])
        assert np.array_equal(np.round(np.asarray(trace.y, dtype=float)), np.arange(n)), "within half a row of its class"
    for bars, dots in zip(fig.data[1::2], fig.data[2::2], strict=True):
        x = np.asarray(bars.x, dtype=float).reshape(-1, 3)
        assert np.allclose(x[:, 0], frame[frame["letter"] == DENSE]["accuracy"]) and np.allclose(x[:, 1], dots.x)


def test_dots_are_filled_where_a_change_is_more_than_chance():
    fig = class_dumbbells(classes({DENSE: [0.9, 0.9], "A": [0.2, 0.8]}))
    assert list(named(fig)["A"].marker.color) == [letter_colour("A"), theme.paper(False)]


def test_the_caption_of_classes_says_who_loses_and_whether_that_is_chance():
    said = classes_caption(classes({DENSE: [0.9, 0.9], "A": [0.2, 0.8], "B": [1.0, 0.9]}))
    assert said.startswith("**class0** loses most: −70.0 points in A (n = 10).") and "gains most: +10.0 points in B" in said
    assert "Filled dots (1)" in said
    assert "Hollow dots" in classes_caption(classes({DENSE: [0.9], "A": [0.8]}))
    assert classes_caption(classes({DENSE: [0.9], "A": [0.9]})) == "No class changed in any run."


@given(st.integers(1, 60))
def test_of_very_many_classes_those_that_changed_most_are_drawn(n):
    change = np.linspace(0, 0.5, n)
    frame = most_changed(classes({DENSE: np.full(n, 0.9), "A": 0.9 - change}))
    kept = list(dict.fromkeys(frame["name"]))
    assert kept == [f"class{i}" for i in range(max(0, n - MOST_CLASSES), n)]


@given(st.integers(2, 40), st.integers(0, 99))
def test_confusion_is_coloured_by_better_and_worse_around_no_change(n, seed):
    change = np.random.default_rng(seed).integers(-5, 6, (n, n))
    names = [f"class{i}" for i in range(n)]
    trace = confusion_change(change, names).data[0]
    places = moved(change)
    part = change[np.ix_(places, places)]
    signs = np.where(np.eye(len(places), dtype=bool), 1, -1)
    assert np.array_equal(np.asarray(trace.z), part * signs), "more right is better, more wrong is worse"
    assert trace.zmin == -trace.zmax and len(places) == min(n, MOST_CLASSES)
    wrong = np.where(np.eye(n, dtype=bool), 0, change)
    said = confusion_caption(change, names, "B")
    if wrong.max() > 0:
        truth, answer = np.unravel_index(wrong.argmax(), wrong.shape)
        assert f"{wrong.max()} more sample" in said and f"of **class{truth}** for **class{answer}**" in said


def test_no_change_of_answers_is_said():
    assert "same answers" in confusion_caption(np.zeros((3, 3), int), list("abc"), "A")


def metrics(n, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.integers(1, 6, n).astype(float) for name in METRICS})
    shares = [name for name in METRICS if METRICS[name].unit == "share"]
    frame[shares] /= 10
    who = pd.DataFrame({"letter": [DENSE, *LETTERS][:n], "run": [f"{i:064x}" for i in range(n)], "title": [f"run {i}" for i in range(n)]})
    return pd.concat([who, frame], axis=1).assign(accuracy_low=frame["accuracy"] - 0.05, accuracy_high=frame["accuracy"] + 0.05)


@given(st.integers(1, 7), st.integers(0, 99), st.sampled_from(list(METRICS)), st.sampled_from(list(METRICS)))
def test_any_two_figures_stand_against_each_other_with_their_front(n, seed, x, y):
    frame = metrics(n, seed)
    fig = tradeoff(frame, x=x, y=y)
    front, dots, *_ = fig.data
    assert np.allclose(dots.x, frame[x]) and np.allclose(dots.y, frame[y]) and [d[0] for d in dots.customdata] == list(frame["run"])
    best = frame[pareto(frame, x, y)]
    assert sorted(zip(front.x, front.y, strict=True)) == sorted(zip(best[x], best[y], strict=True))
    for axis, name in ((fig.layout.xaxis, x), (fig.layout.yaxis, y)):
        assert axis.title.text.startswith(METRICS[name].title) and axis.range[0] <= frame[name].min() and axis.range[1] >= frame[name].max()
    words = tradeoff_caption(frame, x, y)
    for letter in frame.loc[~pareto(frame, x, y), "letter"]:
        assert ("dense" if letter == DENSE else letter).lower() in words.partition("beaten by no other")[2].lower()


@pytest.mark.parametrize(("on", "bound"), [("x", 30_000.0), ("y", 0.9)])
def test_a_budget_is_a_line_on_its_axis_and_shades_what_it_rules_out(on, bound):
    fig = tradeoff(metrics(4), bound=bound, bound_on=on, best="A")
    line, box = fig.layout.shapes
    assert line[f"{on}0"] == line[f"{on}1"] == bound and box[f"{on}0"] == bound
    axis = fig.layout.xaxis if on == "x" else fig.layout.yaxis
    assert box[f"{on}1"] == (axis.range[1] if on == "x" else axis.range[0]), "too large a file, too low an accuracy"
    assert axis.range[0] <= bound <= axis.range[1]
    assert fig.layout.annotations[0].text == ("at most 30.0 kB" if on == "x" else "at least 90.0 %")


def test_runs_without_a_figure_are_named_and_not_drawn():
    frame = metrics(3)
    frame.loc[1, "time"] = np.nan
    assert len(tradeoff(frame, x="time").data[1].x) == 2
    assert "Not drawn, for one of the two was never measured: A." in tradeoff_caption(frame, "time", "accuracy")
    assert "never measured together" in tradeoff_caption(frame.assign(time=np.nan), "time", "accuracy")
    assert len(tradeoff(frame.assign(time=np.nan), x="time").data[1].x) == 0


def tree(depths, accuracies):
    rows, last = [], {}
    for place, (depth, accuracy) in enumerate(zip(depths, accuracies, strict=True)):
        last[depth] = f"run{place}"
        letter = LETTERS[place - 1] if place else ""
        rows.append((f"run{place}", last.get(depth - 1, ""), depth, "prune", f"step {place}", letter, accuracy, ""))
    return pd.DataFrame(rows, columns=["key", "parent", "depth", "step", "title", "letter", "accuracy", "note"])


def test_a_tree_has_a_row_a_run_and_a_line_to_each_parent():
    fig = family_tree(tree([0, 1, 2, 1], [0.99, 0.6, 0.9, np.nan]))
    lines, dots = fig.data
    assert list(dots.x) == [0, 1, 2, 1] and list(dots.y) == [0, 1, 2, 3]
    assert [data[0] for data in dots.customdata] == ["run0", "run1", "run2", "run3"]
    ends = np.array(lines.y, dtype=float).reshape(-1, 4)
    assert [(a, b) for a, _, b, _ in ends] == [(0, 1), (1, 2), (0, 3)]
    assert list(dots.marker.color) == [theme.dense(False), *(letter_colour(letter) for letter in "ABC")]
    assert "99.0" in dots.text[0] and "·" not in dots.text[3]


def test_the_caption_of_a_tree_names_the_dearest_step_and_what_brought_most():
    said = lineage_caption(tree([0, 1, 2, 1], [0.99, 0.6, 0.9, 0.95]))
    assert "4 runs, at most 2 steps" in said and "**step 1** (−39.0 points)" in said and "**step 2** brings +30.0 points" in said


@pytest.mark.parametrize("dark", [False, True])
def test_every_picture_knows_dark_pages(dark):
    drawn = [
        layers_beside(layers("A", 2), dark=dark), weight_outlines(bins({DENSE: [1, 2], "A": [1, 1]}, {}), dark=dark),
        overlap_by_layer(overlaps([("A", "B", {"x": (1, 2, 1)})]), dark=dark),
        class_dumbbells(classes({DENSE: [0.9], "A": [0.2]}), dark=dark),
        confusion_change(np.eye(2, dtype=int), ["a", "b"], dark=dark), tradeoff(metrics(2), dark=dark),
        family_tree(tree([0, 1], [0.9, 0.8]), dark=dark), overlap_matrix(overlaps([("A", "B", {"x": (1, 2, 1)})]), dark=dark),
    ]  # fmt: skip
    assert all(fig.layout.template == theme.TEMPLATES[dark] for fig in drawn)


COMPARED = {
    "layers_beside": lambda **k: layers_beside(layers("AB", 3), **k),
    "weight_outlines": lambda **k: weight_outlines(bins({DENSE: [1, 2], "A": [1, 0]}, {DENSE: 0, "A": 2}), **k),
    "overlap_matrix": lambda **k: overlap_matrix(overlaps([("A", "B", {"x": (1, 2, 1)})]), **k),
    "overlap_by_layer": lambda **k: overlap_by_layer(overlaps([("A", "B", {"x": (1, 2, 1)})]), **k),
    "class_dumbbells": lambda **k: class_dumbbells(classes({DENSE: [0.9], "A": [0.2]}), **k),
    "confusion_change": lambda **k: confusion_change(np.eye(2, dtype=int), ["a", "b"], **k),
    "tradeoff": lambda **k: tradeoff(metrics(3), **k),
    "family_tree": lambda **k: family_tree(tree([0, 1], [0.9, 0.8]), **k),
}
