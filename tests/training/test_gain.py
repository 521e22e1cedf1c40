"""What recalibration brought is told from paired accuracies, and where that is nothing, the reason from the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from prunekit import load_data, load_model
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.training.batchnorm import Shift, brought, recalibrate

SMALL, LARGE = Shift(0.01, 0.02, 96), Shift(0.8, 0.3, 96)


def right(n: int) -> Evaluation:
    return accuracy_of(np.arange(200) < n)


@pytest.mark.parametrize(
    ("pruned", "recalibrated", "shift", "word"),
    [
        (120, 180, LARGE, "moved by 0.8 standard deviations"),
        (180, 120, LARGE, "the statistics of the dense model fit better"),
        (120, 121, SMALL, "the statistics hardly changed"),
        (199, 199, LARGE, "pruning alone lost nothing significant"),
        (120, 122, LARGE, "cannot be told from chance"),
        (120, 122, None, "it cannot be told from chance"),
    ],
)
def test_the_reason_follows_from_the_figures(pruned, recalibrated, shift, word):
    said = brought(right(200), right(pruned), right(recalibrated), shift)
    assert word in said and compare(right(pruned), right(recalibrated)).sentence() in said
    reasons = ("hardly changed", "lost nothing significant", "fit better", "from chance")
    assert sum(reason in said for reason in reasons) == (recalibrated < pruned + 30), "one reason, and none where it brought something"


def test_the_shift_is_that_of_the_statistics():
    norms = [nn.Sequential(nn.BatchNorm1d(3)).eval() for _ in range(2)]
    with torch.no_grad():
        norms[0][0].running_var.copy_(torch.tensor([4.0, 4.0, 4.0]) - norms[0][0].eps)
        norms[1][0].running_var.copy_(torch.tensor([9.0, 9.0, 9.0]) - norms[0][0].eps)
        norms[1][0].running_mean.copy_(torch.tensor([1.0, 1.0, 1.0]))
    found = Shift.between(*norms)
    assert (found.mean, found.deviation, found.channels) == (pytest.approx(0.5), pytest.approx(0.5), 3)
    assert Shift.between(norms[0], norms[0]).small and Shift.from_dict(found.to_dict()) == found
    assert Shift.between(nn.Linear(2, 2), nn.Linear(2, 2)) is None


def test_recalibrating_the_dense_model_moves_hardly_anything():
    model = load_model("digits_cnn")
    data = load_data("digits", model=model)
    assert Shift.between(model, recalibrate(model, data)).mean < 0.3
