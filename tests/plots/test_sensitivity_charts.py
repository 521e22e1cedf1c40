"""Charts of sensitivity: every layer has its panel, its row and its cost."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prunekit import plots
from prunekit.formatting import shorts
from prunekit.tasks.metrics import LOWER, Metric


def points(layers, dense=0.9):
    rows = []
    for place, layer in enumerate(layers):
        for s in (0.1, 0.5, 0.9):
            value = dense - s * 0.1 * place
            rows.append((layer, s, s, value, value - 0.01, value + 0.01, 100))
    return pd.DataFrame(rows, columns=["layer", "requested", "sparsity", "value", "low", "high", "n"])


LOST = {"a": 0.0, "b": 0.005, "c": 0.01}


def costs(layers):
    return pd.DataFrame(
        {"layer": layers, "params": [10 * (i + 1) for i in range(len(layers))], "macs": [7 * (i + 1) for i in range(len(layers))]}
    )


@given(st.integers(1, 8))
@example(23)
def test_every_layer_has_one_panel_on_the_same_axes(n):
    layers = [f"block{i}.conv" for i in range(n)]
    fig = plots.sensitivity_panels(points(layers), dense=0.9, threshold=0.89)
    lines = [trace for trace in fig.data if trace.mode == "lines+markers"]
    assert [trace.name for trace in lines] == layers
    assert len({(trace.xaxis, trace.yaxis) for trace in lines}) == n
    assert len({axis.range for axis in fig.select_yaxes()}) == 1 and len({axis.range for axis in fig.select_xaxes()}) == 1
    assert all(line.x[0] == 0 and line.y[0] == 0.9 for line in lines)


def test_a_fragile_layer_has_a_colour_of_its_own_and_a_target_a_mark():
    fig = plots.sensitivity_panels(points(["a", "b"]), dense=0.9, fragile=["b"], targets={"a": 0.3})
    colours = {trace.name: trace.line.color for trace in fig.data if trace.mode == "lines+markers"}
    assert colours["a"] == plots.KEPT != colours["b"]
    assert [trace.x[0] for trace in fig.data if trace.mode == "markers"] == [0.3]


def test_the_map_holds_what_is_lost_and_what_it_costs_on_the_same_rows():
    layers = ["late", "early", "middle"]
    fig = plots.sensitivity_map(points(layers), costs(layers), dense=0.9)
    assert fig.layout.xaxis3.domain[0] - fig.layout.xaxis2.domain[1] > 0.04, "400k of one axis does not run into 0 of the next"
    cells, params, macs = fig.data
    assert list(cells.y) == list(params.y) == list(macs.y) == layers
    assert np.allclose(cells.z, [[s * 0.1 * i for s in (0.1, 0.5, 0.9)] for i in range(3)])
    assert list(params.x) == [10, 20, 30] and list(macs.x) == [7, 14, 21]


def test_a_cell_says_what_was_measured_gains_too_and_what_was_asked_where_it_is_not_what_went():
    frame = points(["a"]).assign(value=[0.905, 0.9, 0.78], sparsity=[0.09375, 0.5, 0.9])
    cells = plots.sensitivity_map(frame, costs(["a"]), dense=0.9).data[0]
    assert list(cells.text[0]) == ["−0.5", "0.0", "12.0"], "one decimal for all, as in tables"
    said = [entry[0] for entry in cells.customdata[0]]
    assert said[0] == "asked 10\u202f%, reached 9.4\u202f%" and said[1] == "50.0\u202f%"


def test_a_point_that_is_not_measured_yet_is_an_empty_cell():
    frame = points(["a", "b"]).drop(index=5)
    cells = plots.sensitivity_map(frame, costs(["a", "b"]), dense=0.9).data[0]
    assert np.isnan(cells.z[1][2]) and cells.text[1][2] == ""


def test_the_caption_names_the_first_to_give_way_and_the_last():
    text = plots.sensitivity_caption(LOST, ["c"])
    assert (
        text.startswith("**c** gives way first")
        and "**a** hardly" in text
        and "1.0 points of accuracy" in text
        and "Unusually fragile: c" in text
    )


@pytest.mark.parametrize("x", list(plots.AXES))
def test_curves_stand_on_every_axis_with_the_best_of_all_behind(x):
    frame = pd.DataFrame(
        [(s, v, v, value) for s, shift in (("a", 0), ("b", 0.2)) for v, value in ((0.0, 0.9), (0.5, 0.8 - shift), (0.9, 0.5 - shift))],
        columns=["setting", "requested", "sparsity", "value"],
    )
    left = 1 - frame["sparsity"]
    frame = frame.assign(
        low=frame["value"] - 0.01, high=frame["value"] + 0.01, n=50, ratio=1 / left, params=left * 10, macs=left, bytes=left * 99
    )
    fig = plots.quality_curves(frame, x=x, dense=0.9, within=0.05)
    lines = {trace.name: trace for trace in fig.data if trace.mode == "lines+markers"}
    assert sorted(lines["a"].x) == pytest.approx(sorted(frame[frame["setting"] == "a"][x]))
    front = next(trace for trace in fig.data if "Pareto" in (trace.name or ""))
    assert set(np.round(front.y, 6)) == {0.9, 0.8, 0.5}  # b never beats a
    lost = plots.quality_curves(frame, x=x, dense=0.9, drop=True)
    assert sorted(next(t for t in lost.data if t.name == "a").y) == pytest.approx([-0.4, -0.1, 0.0])


def test_errors_that_span_more_than_a_factor_of_ten_stand_on_a_logarithmic_axis_all_of_them():
    metric = Metric("perplexity", "perplexity", lambda seen: 0.0, better=LOWER)
    frame = pd.DataFrame({"setting": "a", "requested": [0.0, 0.5, 0.9], "value": [5.0, 6.0, 4e4]})
    frame = frame.assign(sparsity=frame.requested, macs=1.0, n=9, low=frame.value * 0.9, high=frame.value * 1.1)
    fig = plots.quality_curves(frame, dense=5.0, within=1.0, metric=metric)
    assert fig.layout.yaxis.type == "log"
    assert fig.layout.yaxis.range is None, "the broken model is in the picture too"
    assert [line.y0 for line in fig.layout.shapes] == [5.0, 6.0]
    heights = {note.text: note.y for note in fig.layout.annotations}
    assert heights["dense 5.00"] == pytest.approx(math.log10(5)), "plotly takes the exponent of an annotation"
    assert plots.quality_curves(frame[:2], dense=5.0, metric=metric).layout.yaxis.type is None


def test_names_that_end_alike_are_told_apart():
    names = [f"bert.encoder.layer.{layer}.attention.self.{part}" for layer in (0, 1) for part in ("query", "key")]
    told = shorts(names, 22)
    assert len(set(told)) == 4 and max(map(len, told)) <= 22 and told[0] == "0…attention.self.query"
    assert shorts(["fc1", "fc2"]) == ["fc1", "fc2"]
