"""Figures as plain dictionaries send what plotly's own, validated figures would."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prunekit.plots import light_figure, theme
from prunekit.plots.filter_tiles import colour_tiles, filter_tiles, kernel_tiles
from prunekit.plots.filters import ranked, strip
from prunekit.plots.layer_bars import by_layer, sizes
from prunekit.plots.light_figure import MOST_ROWS, LightFigure, bar, figure_table
from prunekit.plots.weight_histograms import CutBins, cut
from prunekit.plots.weight_pixels import blocks, planes, share_map, weight_pixels

RNG = np.random.default_rng(0)
WEIGHT, KEPT = RNG.normal(size=(12, 3, 3, 3)).astype(np.float32), RNG.random((12, 3, 3, 3)) > 0.4
FRAME = pd.DataFrame(
    {
        "name": [f"layers.{i}" for i in range(5)],
        "removed": RNG.random(5),
        "gone": [3, 20, 300, 40_000, 5],
        "all": [9, 90, 900, 90_000, 9],
        "requested": [0.5, np.nan, 0.2, np.nan, np.nan],
        "cap": [np.nan, 0.8, np.nan, np.nan, np.nan],
        "ticked": [True, True, False, True, True],
    }
)
CHANNELS = pd.DataFrame({"channel": np.arange(5), "score": [0.5, 2.0, np.nan, 0.1, 1.0], "kept": [False, True, True, False, True]})
SIZES = pd.DataFrame({"label": ["a", "b"], "bytes": [9, 70_000], "text": ["9 B", ""], "dense": [True, False]})
BINS = CutBins(np.linspace(-1, 1, 9), np.arange(8.0), np.arange(8.0)[::-1], 0.25)
CHARTS = {
    "by_layer": lambda dark: by_layer(FRAME, dark=dark),
    "by_layer, inputs": lambda dark: by_layer(FRAME.assign(inputs=0.25), dark=dark),
    "upright": lambda dark: by_layer(pd.concat([FRAME] * 9, ignore_index=True), dark=dark),
    "sizes": lambda dark: sizes(SIZES, dark=dark),
    "cut": lambda dark: cut(BINS, log=dark, dark=dark),
    "values": lambda dark: weight_pixels(WEIGHT, KEPT, dark=dark),
    "comb": lambda dark: weight_pixels(WEIGHT[:, :, 0, 0], KEPT[:, :, 0, 0], block=4, values=False, dark=dark),
    "shares": lambda dark: share_map(blocks(KEPT, most=4), dark=dark),
    "kernels": lambda dark: kernel_tiles(planes(WEIGHT), planes(KEPT), dark=dark),
    "filters": lambda dark: filter_tiles(np.abs(WEIGHT).sum(1), KEPT[:, 0, 0, 0], dark=dark),
    "colours": lambda dark: colour_tiles(WEIGHT, KEPT, dark=dark),
    "ranked": lambda dark: ranked(CHANNELS, dark=dark),
    "strip": lambda dark: strip({"a": KEPT[:, 0, 0, 0], "b": KEPT[:5, 0, 0, 0]}, dark=dark),
}


def sent(figure):
    """Return what a browser gets, its properties in order."""
    return json.dumps(json.loads(pio.to_json(figure, validate=False)), sort_keys=True, indent=1)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_sends_what_plotlys_own_figure_sends(name, dark):
    light, looked_at = CHARTS[name](dark), CHARTS[name](dark)
    assert isinstance(light, LightFigure)
    assert looked_at.data and looked_at.layout.height  # plotly has validated it by now
    assert "plain" in vars(light) and "plain" not in vars(looked_at)
    assert sent(light) == sent(looked_at)


@given(arrays.arrays(st.sampled_from([np.int64, np.uint64, np.int32, np.uint8, np.float64, np.float32, np.bool_]), st.integers(0, 5)))
def test_arrays_are_sent_as_plotly_sends_them(values):
    light = theme.figure([bar(x=values, y=pd.Series(values), customdata=np.stack([values, values]))])
    own = go.Figure([go.Bar(x=values, y=pd.Series(values), customdata=np.stack([values, values]))])
    assert sent({"data": light.to_dict()["data"]}) == sent({"data": own.to_dict()["data"]})


def test_what_plotly_would_refuse_is_refused_when_somebody_looks():
    figure = theme.figure([bar(x=[1], y=[2], colour="red")])
    with pytest.raises(ValueError, match="colour"):
        _ = figure.data


def test_it_can_be_changed_copied_and_pickled():
    figure = CHARTS["cut"](False)
    assert sent(copy.deepcopy(figure)) == sent(pickle.loads(pickle.dumps(figure))) == sent(CHARTS["cut"](False))
    figure.update_layout(height=77)
    assert figure.to_dict()["layout"]["height"] == 77 and not hasattr(figure, "no_such_thing")


@pytest.mark.parametrize("again", [False, True])
def test_points_of_light_figures_and_of_plotlys_own_are_the_same(again):
    bars = light_figure.bar(x=np.array([1.5, 2.5]), y=pd.Series(["conv1", "fc1"]), name="kept", text=["1.5 kB", "2.5"])
    guide = light_figure.scatter(x=[0, 9], y=[0, 9], hoverinfo="skip")
    figure = theme.figure([bars, guide], xaxis={"title": {"text": "bytes"}}, yaxis={"title": "layer"})
    frame, rows = figure_table(go.Figure(figure.to_dict()) if again else figure)
    assert rows == 2 and list(frame.columns) == ["of", "bytes", "layer", "label"]
    assert list(frame["bytes"]) == [1.5, 2.5] and list(frame["layer"]) == ["conv1", "fc1"] and set(frame["of"]) == {"kept"}


def test_cells_of_a_map_have_both_labels_and_empty_ones_are_left_out():
    trace = light_figure.heatmap(z=np.array([[1.0, np.nan], [3.0, 4.0]]), x=["a", "b"], y=["one", "two"])
    frame, rows = figure_table(theme.figure([trace]))
    assert rows == 3 and frame.to_numpy().tolist() == [["one", "a", 1.0], ["two", "a", 3.0], ["two", "b", 4.0]]


def test_a_long_table_says_how_long_it_would_be():
    frame, rows = figure_table(theme.figure([light_figure.heatmap(z=np.zeros((100, 100)))]))
    assert rows == 10_000 and len(frame) == MOST_ROWS
