"""Training before the cut: each penalty's gradient beside its definition, and what it makes of the channels that go."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.errors import RecoveryError
from prunekit.pruning.structured.grouping import coupled, trace
from prunekit.training.preparation import PENALTIES

SPEC = prunekit.PruneSpec(mode="structured", sparsity=0.5)


@pytest.fixture(scope="module")
def cnn():
    return prunekit.load_model("digits_cnn")


@pytest.mark.parametrize("kind", ["group_lasso", "bn_scale"])
def test_a_penalty_is_the_gradient_of_what_it_names(kind):
    net = copy.deepcopy(prunekit.load_model("digits_cnn")).requires_grad_(True)
    groups = coupled(trace(net, (1, 8, 8)))
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    PENALTIES[kind](net, groups, 0.5)(1.0)
    found = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    known, total = dict(net.named_parameters()), 0.0
    for group in groups:
        if kind == "bn_scale":
            total = total + sum(
                known[m.tensor].abs().sum() for m in group.members if m.tensor.startswith("bn") and m.tensor.endswith("weight")
            )
            continue
        square = torch.zeros(group.size)
        for member in group.members:
            if member.tensor in known:
                rows = known[member.tensor].movedim(member.axis, 0)[torch.from_numpy(member.positions)]
                square = square.index_add(0, torch.from_numpy(member.units), rows.reshape(len(rows), -1).square().sum(1))
        total = total + square.sqrt().sum()
    (0.5 * total).backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(found[name], torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-4, atol=1e-6)


def test_growing_decays_what_goes_and_the_cut_takes_it(cnn):
    data = prunekit.load_data("digits", limit=300)
    recovery = prunekit.Recovery(prepare="growing", prepare_epochs=3, penalty=20.0)
    assert recovery.active and recovery.title() == "prepared 3 epochs"
    found = prunekit.prune_and_recover(cnn, SPEC, recovery, data)
    plain = prunekit.prune(cnn, SPEC, data)
    assert found.result.proof.passed and found.result.achieved.removed == plain.achieved.removed
    shared = np.isin(plain.kept["conv2"], found.result.kept["conv2"]).mean()
    assert shared > 0.9, "what was chosen first is what goes"
    again = prunekit.prune_and_recover(cnn, SPEC, recovery, data)
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), again.model.parameters(), strict=True))


def test_single_weights_are_not_prepared(cnn):
    with pytest.raises(RecoveryError, match="whole channels"):
        prunekit.prune_and_recover(
            cnn, prunekit.PruneSpec(), prunekit.Recovery(prepare="group_lasso"), prunekit.load_data("digits", limit=200)
        )


class Small(nn.Module):
    """Coupled convolutions, norms, and a linear layer that reads them; no shifts, which the peer leaves alone."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(*size, 3, padding=1, bias=False) for size in ((2, 6), (6, 5), (5, 6)))
        self.na, self.nb, self.nc = (nn.BatchNorm2d(size) for size in (6, 5, 6))
        self.fc = nn.Linear(6, 3, bias=False)

    def forward(self, x):
        x = self.na(self.a(x)).relu()
        x = x + self.nc(self.c(self.nb(self.b(x)).relu()))
        return self.fc(x.mean((2, 3)))


def small():
    """Return the network with random weights, no shifts, and gradients of zero."""
    torch.manual_seed(0)
    net = Small().eval()
    for name, p in net.named_parameters():
        p.data.copy_(torch.zeros_like(p) if name.endswith("bias") else torch.randn_like(p))
        p.grad = torch.zeros_like(p)
    return net


def peer(kind, net, **options):
    """Return one of torch-pruning's pruners that train."""
    found = pytest.importorskip("torch_pruning")
    norm = found.importance.GroupMagnitudeImportance(p=2, group_reduction="sum", normalizer=None)
    return getattr(found.pruner, kind)(net, torch.zeros(1, 2, 8, 8), importance=norm, ignored_layers=[net.fc], **options)


def their_group_lasso(net, strength):
    """Let torch-pruning weigh each unit by one over its norm, which is what the gradient of a group lasso is."""
    pruner = peer("GroupNormPruner", net)
    for group in tuple(pruner._groups):
        square = pruner.estimate_importance(group)
        size = square.sqrt()
        # they weigh by alpha ** x, x from 0 at the most important unit to 1 at the least: of logarithms of norms that is one over the norm
        pruner._groups, pruner.reg = [group], strength / float(size.max())
        pruner.estimate_importance = lambda _, size=size: (size.log() - size.log().min()).square()
        pruner.regularize(net, alpha=float(size.max() / size.min()))
        del pruner.estimate_importance


def their_bn_scale(net, strength):
    """Let torch-pruning penalise the scales of BatchNorm."""
    peer("BNScalePruner", net, reg=strength).regularize(net)


def their_growing(net, strength):
    """Let torch-pruning decay every third unit of each group."""
    pruner = peer("GrowingRegPruner", net)
    pruner.group_reg = {group: strength * (torch.arange(len(group[0].idxs)) % 3 == 0) for group in pruner._groups}
    pruner.regularize(net)


@pytest.mark.parametrize(("kind", "theirs"), [("group_lasso", their_group_lasso), ("bn_scale", their_bn_scale), ("growing", their_growing)])
def test_gradients_are_those_of_torch_prunings_pruners(kind, theirs):
    ours, other = small(), small()
    groups = [replace(group, removed=tuple(range(0, group.size, 3))) for group in coupled(trace(ours, (2, 8, 8)))]
    PENALTIES[kind](ours, groups, 0.3)(1.0)
    theirs(other, 0.3)
    known = dict(other.named_parameters())
    for name, p in ours.named_parameters():
        if kind == "growing" and name.startswith("n"):
            continue  # there they are added to a copy of the gradient, and are lost
        torch.testing.assert_close(p.grad, known[name].grad, rtol=1e-4, atol=1e-6, msg=name)
    assert sum(bool(p.grad.any()) for p in ours.parameters()) == (3 if kind == "bn_scale" else 7)
