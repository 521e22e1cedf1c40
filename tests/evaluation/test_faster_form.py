"""The faster form of a network answers the same, whatever is zeroed; what must stay as it is stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import prunekit
from prunekit.evaluation.sensitivity import shortcuts as module
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.evaluation.sensitivity.shortcuts import faster_form
from prunekit.tasks.batch import Batch


class Net(nn.Module):
    """Four convolutions: one before its norm, one whose output is read twice, two that share a weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(4 if i else 3, 4, 3, padding=1, bias=i == 1) for i in range(4))
        self.d.weight = self.c.weight
        self.na, self.nb, self.nc, self.nd = (nn.BatchNorm2d(4) for _ in range(4))
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.na(self.a(x)).relu()
        y = self.b(x)
        x = self.nb(y).relu() + y
        x = self.nd(self.d(self.nc(self.c(x)).relu()))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net(monkeypatch):
    monkeypatch.setattr(module, "WORTH", 0)
    torch.manual_seed(0)
    net = Net().eval().requires_grad_(False)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        for value in (norm.running_mean, norm.weight, norm.bias):
            value.normal_()
        norm.running_var.uniform_(0.5, 2)
    return net


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("changed", "folded"), [((), {"na"}), (("a.weight", "b.weight"), {"na"}), (("na.weight",), set())])
def test_it_answers_the_same_whatever_is_zeroed(net, changed, folded):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fast = faster_form(net, Batch.of(X), changed)
    assert {name for name, each in fast.named_modules() if isinstance(each, nn.Identity)} == folded
    for name in (None, *changed):
        if name is not None:
            for each in (net, fast):
                each.state_dict()[name][1:3] = 0
        assert torch.allclose(fast(X), net(X), atol=1e-5)
        net.load_state_dict(before)
        fast = faster_form(net, Batch.of(X), changed)


def test_what_answers_otherwise_or_is_small_stays_itself(net, monkeypatch):
    monkeypatch.setattr(module, "CLOSE", -1.0)
    assert faster_form(net, Batch.of(X), ()) is net
    monkeypatch.undo()
    assert faster_form(net, Batch.of(X), ()) is net


def test_sensitivity_says_the_same_of_it(monkeypatch):
    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits").validation.subset(60)
    found = {}
    for worth in (0, float("inf")):
        monkeypatch.setattr(module, "WORTH", worth)
        part = sensitivity(model, data, prunekit.PruneSpec(), (0.5,))
        found[worth] = [point.accuracy.observations.values.tolist() for layer in part.layers for point in layer.points]
    assert found[0] == found[float("inf")]
