"""An error bar ends where the interval ends, on either side."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from prunekit.comparison.metrics import METRICS
from prunekit.plots.compare_tradeoff import tradeoff
from prunekit.plots.lessons_measured import layers_off
from prunekit.plots.light_figure import figure_table


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_bars_of_accuracy_end_where_its_intervals_end(axis):
    accuracy, low, high = np.array([0.9, 0.8]), np.array([0.7, 0.78]), np.array([0.93, 0.9])
    figures = {name: [2.0, 1.0] for name in METRICS} | {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
    frame = pd.DataFrame({"letter": ["Dense", "A"], "run": ["d", "a"], "title": ["d", "a"], **figures})
    fig = tradeoff(frame, x="accuracy" if axis == "x" else "params", y="params" if axis == "x" else "accuracy")
    place = next(place for place, trace in enumerate(fig.data) if trace.name == "runs")
    assert fig.data[place][f"error_{axis}"].array is None, "under its dot a narrow one could not be seen"
    dots = fig.data[place + 1]
    bars = dots[f"error_{axis}"]
    assert np.asarray(dots[axis]) + np.asarray(bars.array) == pytest.approx(high)
    assert np.asarray(dots[axis]) - np.asarray(bars.arrayminus) == pytest.approx(low)


def test_an_interval_that_is_narrower_than_its_dot_is_drawn_over_it():
    frame = pd.DataFrame({"name": ["dense", "layer 5 off"], "value": [10.0, 20.0], "low": [9.99, 19.9], "high": [10.01, 20.3]})
    dots, bars, *_ = go.Figure(layers_off(frame, 10.0)).data
    assert dots.error_x.array is None and dots.marker.size == 10
    assert bars.marker.size == 1 and list(bars.x) == [10.0, 20.0]
    assert list(bars.error_x.array) == pytest.approx([0.01, 0.3]) and list(bars.error_x.arrayminus) == pytest.approx([0.01, 0.1])
    assert figure_table(layers_off(frame, 10.0))[1] == len(frame), "each once in the table behind the picture"
