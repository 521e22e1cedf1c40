"""Charts of training: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest

from prunekit import plots
from prunekit.plots.quality_axis import quality_range, up_to_all
from prunekit.tasks.classification import ACCURACY


def epochs(n=5, validation=True):
    value = np.linspace(0.5, 0.9, n) if validation else np.full(n, np.nan)
    frame = pd.DataFrame({"epoch": range(1, n + 1), "loss": np.linspace(2, 0.1, n), "train_quality": np.linspace(0.4, 0.95, n)})
    return frame.assign(value=value, low=value - 0.02, high=value + 0.02)


def named(fig, name):
    return next(trace for trace in fig.data if trace.name == name)


def test_learning_curves_show_every_epoch_and_mark_the_one_that_is_kept():
    frame = epochs()
    fig = plots.learning_curves(frame, dense=0.93, best=3, epochs=8)
    assert list(named(fig, "validation").y) == list(frame["value"]) and list(named(fig, "loss").y) == list(frame["loss"])
    assert (named(fig, "kept").x[0], named(fig, "kept").y[0]) == (3, frame["value"][2])
    assert fig.layout.xaxis.range[1] > 8 and "93.0" in fig.layout.annotations[0].text


def test_the_axis_of_one_loss_does_not_reach_below_zero():
    assert plots.learning_curves(epochs(1)).layout.yaxis2.rangemode == "tozero"
    assert plots.learning_curves(epochs()).layout.yaxis2.rangemode is None


def test_without_validation_the_training_accuracy_carries_the_mark():
    fig = plots.learning_curves(epochs(validation=False), best=5)
    assert not [trace for trace in fig.data if trace.name == "validation"]
    assert named(fig, "kept").y[0] == pytest.approx(0.95)


def test_the_schedule_is_drawn_as_steps_of_sparsity_and_a_line_of_rates():
    frame = pd.DataFrame({"epoch": [0, 1, 1, 2], "sparsity": [0.3, 0.3, 0.5, 0.5], "lr": [0.1, 0.05, 0.05, 0.0]})
    sparsity, rate = plots.schedule_chart(frame).data
    assert list(sparsity.y) == [0.3, 0.3, 0.5, 0.5] and sparsity.line.shape == "hv"
    assert list(rate.y) == [0.1, 0.05, 0.05, 0.0]


def test_steps_of_recovery_have_their_intervals_and_the_dense_model_as_a_line():
    frame = pd.DataFrame({"step": ["Dense", "Pruned"], "value": [0.9, 0.4], "low": [0.88, 0.35], "high": [0.93, 0.44], "n": 100})
    fig = plots.recovery_steps(frame)
    marks = fig.data[1]  # over the dots
    assert list(marks.error_x.array) == pytest.approx([0.03, 0.04]) and list(marks.error_x.arrayminus) == pytest.approx([0.02, 0.05])
    assert fig.layout.shapes[0].x0 == 0.9


@pytest.mark.parametrize("low", [0.0, 0.5, 0.9, 0.97, 0.995])
def test_no_tick_of_a_share_stands_beyond_all_of_it(low):
    shown = up_to_all(low)
    dense = shown[1] - shown[0]
    assert 1 < shown[1] < 1 + dense / 20 and quality_range(ACCURACY, [low, 1.0], 1.0, pad=(0.0, 0.12))[1] <= shown[1]
    frame = pd.DataFrame({"step": ["Dense", "Pruned"], "value": [1.0, low], "low": [0.99, low], "high": [1.0, low], "n": 100})
    axis = plots.recovery_steps(frame).layout.xaxis
    assert axis.range[1] < 1 + (axis.range[1] - axis.range[0]) / 20
