"""An error bar ends where the interval ends, on either side."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from prunekit.comparison.metrics import METRICS
from prunekit.plots.compare_tradeoff import tradeoff


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_bars_of_accuracy_end_where_its_intervals_end(axis):
    accuracy, low, high = np.array([0.9, 0.8]), np.array([0.7, 0.78]), np.array([0.93, 0.9])
    figures = {name: [2.0, 1.0] for name in METRICS} | {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
    frame = pd.DataFrame({"letter": ["Dense", "A"], "run": ["d", "a"], "title": ["d", "a"], **figures})
    fig = tradeoff(frame, x="accuracy" if axis == "x" else "params", y="params" if axis == "x" else "accuracy")
    dots = next(trace for trace in go.Figure(fig).data if trace.name == "runs")
    bars = dots[f"error_{axis}"]
    assert np.asarray(dots[axis]) + np.asarray(bars.array) == pytest.approx(high)
    assert np.asarray(dots[axis]) - np.asarray(bars.arrayminus) == pytest.approx(low)
