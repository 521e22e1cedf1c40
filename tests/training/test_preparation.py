"""Training before the cut: each penalty's gradient beside its definition, and what it makes of the channels that go."""

import copy

import numpy as np
import pytest
import torch

import prunekit
from prunekit.errors import RecoveryError
from prunekit.pruning.coupled_groups import coupled
from prunekit.pruning.structured.grouping import trace
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
