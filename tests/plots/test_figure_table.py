"""The table behind a figure: its points, called as the axes are, whichever way the figure is written down."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from prunekit.plots import light_figure, theme
from prunekit.plots.figure_table import MOST_ROWS, figure_table


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
