"""Scores against their formulas, written out in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.criteria import CRITERIA, channel_scores, weight_scores
from prunekit.errors import SpecError
from prunekit.spec import CRITERIA as NAMES

NET = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Linear(4, 6))


def test_the_registry_and_the_spec_name_the_same_criteria():
    assert tuple(CRITERIA) == NAMES
    assert all(c.name == name and c.title and c.formula and c.source for name, c in CRITERIA.items())


@pytest.mark.parametrize(
    ("name", "weight", "channel"),
    [
        ("l1", np.abs, lambda w: np.abs(w).reshape(len(w), -1).sum(1)),
        ("l2", np.square, lambda w: np.sqrt(np.square(w.astype(np.float64)).reshape(len(w), -1).sum(1))),
    ],
)
def test_magnitudes(name, weight, channel):
    for layer in ("0", "1"):
        w = NET.get_submodule(layer).weight.detach().numpy()
        np.testing.assert_array_equal(weight_scores(NET, [layer], name)[layer].numpy(), weight(w))
        np.testing.assert_allclose(channel_scores(NET, [layer], name)[layer], channel(w), rtol=1e-6)


def test_random_is_uniform_by_seed_and_layer():
    net = nn.Sequential(nn.Linear(200, 200))
    scores = weight_scores(net, ["0"], "random", 3)["0"]
    assert torch.equal(scores, weight_scores(net, ["0"], "random", 3)["0"])
    assert not torch.equal(scores, weight_scores(net, ["0"], "random", 4)["0"])
    assert float(scores.min()) >= 0 and float(scores.max()) < 1
    assert abs(float(scores.mean()) - 0.5) < 0.01  # 40,000 draws: five standard errors are 0.007
    assert len(set(channel_scores(net, ["0"], "random", 3)["0"].tolist())) == 200


def test_an_unknown_criterion_is_named():
    with pytest.raises(SpecError, match="criterion must be one of l1, l2, random"):
        weight_scores(NET, ["0"], "l0")


def test_half_precision_scores_in_float32():
    net = nn.Sequential(nn.Linear(4, 6)).to(torch.bfloat16)
    assert weight_scores(net, ["0"], "l2")["0"].dtype == torch.float32
