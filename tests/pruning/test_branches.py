"""Branches that forward() takes by what a tensor says: the one that samples take and the other are traced, rehearsed and proved."""

import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.pruning.api import prune
from tests.pruning.by_values import differences, scattered

HALF = PruneSpec(mode="structured", sparsity=0.5)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.out = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.eval()

    def between(self, h, x):
        return h

    def forward(self, x):
        return self.out(self.between(self.b(self.a(x).relu()).relu(), x))


class Checked(Plain):
    def between(self, h, x):
        assert not torch.isnan(h).any(), "not a number"
        if not (h >= 0).all():
            raise ValueError("below zero")
        return h


class Exits(Plain):
    def __init__(self):
        super().__init__()
        self.exit = nn.Linear(16, 4)

    def forward(self, x):
        h = self.a(x).relu()
        early = self.exit(h)
        return early if early.softmax(-1).max() > 0.9 else self.out(self.b(h).relu())


class Loops(Plain):
    def between(self, h, x):
        while x.abs().sum() > 4:
            x, h = x / 2, h * 0.5
        return h


class Written(Plain):
    def between(self, h, x):
        return h.view(-1, 4, 4).flatten(1) if (x > 5).any() else h


class Supervised(Plain):
    """What only training runs stands behind a check."""

    def __init__(self):
        super().__init__()
        self.aside = nn.Linear(16, 4)

    def between(self, h, x):
        if self.training and not h.isfinite().all():
            h = h.clamp(-1e4, 1e4)
        return h + self.aside(h).mean() if self.training else h


@pytest.mark.parametrize(("kind", "others"), [(Checked, 0), (Exits, 1), (Loops, 1), (Supervised, 1)])
def test_both_ways_are_proved(kind, others):
    """What stops is a check; any other way counts."""
    net = scattered(kind())
    result = prune(net, HALF, input_shape=(6,))
    assert len(result.proof.forms) == others and result.achieved.removed == 16
    samples = torch.randn(3, 6)
    error, moved = differences(net, result.model, samples)
    assert error < 1e-5 and moved > 1e-3
    result.model.train()(samples)


def test_what_the_other_way_does_not_carry_stays():
    """Only the layer that it reads."""
    result = prune(Written(), HALF, input_shape=(6,))
    assert any(limit.startswith("b stays whole") for limit in result.limits) and len(result.kept["a"]) < 16
    result.model(torch.full((2, 6), 9.0))


def test_a_number_of_values_still_stops():
    """What is computed with it, or decided by it in Python, is not seen."""

    class Looks(Plain):
        def between(self, h, x):
            return h if h.mean().item() > 0 else h * 2

    with pytest.raises(PruningError, match="data-dependent control flow"):
        prune(Looks(), HALF, input_shape=(6,))


@pytest.mark.slow
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_model_that_is_prepared_for_quantisation_shrinks_with_its_ranges(calibrated):
    """It trains on, and the dense one is as it was."""
    quantisation = torch.ao.quantization
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)
    )
    net.train().qconfig = quantisation.get_default_qat_qconfig("x86")
    net = quantisation.prepare_qat(net)
    if calibrated:
        net(torch.randn(4, 1, 8, 8))
    before = {name: tensor.clone() for name, tensor in net.eval().state_dict().items()}
    result = prune(net, HALF, input_shape=(1, 8, 8))
    assert result.proof.passed and any("quantisation" in limit for limit in result.limits)
    assert tuple(result.model[2].weight_fake_quant.scale.shape) == ((6,) if calibrated else (1,))
    result.model.train()(torch.randn(4, 1, 8, 8)).sum().backward()
    after = net.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], tensor) for name, tensor in before.items())
