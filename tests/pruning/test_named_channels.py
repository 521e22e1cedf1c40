"""Channels that are named, the groups of a model and of a result, soft pruning, and cuts in steps without training."""

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError, RecoveryError, SpecError
from tests.pruning.peer import Theirs, same_state

CNN = "digits_cnn"


@pytest.fixture(scope="module")
def cnn():
    return prunekit.load_model(CNN)


def test_named_channels_go_as_torch_pruning_removes_them(cnn):
    result = prunekit.prune_indices(cnn, {"conv2": [1, 5, 9]})
    assert result.proof.passed and result.achieved.removed == 3
    assert result.kept["conv2"] == tuple(i for i in range(64) if i not in {1, 5, 9})
    assert same_state(result.model, Theirs(cnn, (1, 8, 8)).without("conv2", [1, 5, 9]))
    assert prunekit.PruneSpec.from_dict(result.spec.to_dict()) == result.spec


def test_groups_say_what_goes_with_each_unit(cnn):
    result = prunekit.prune_indices(cnn, {"conv1": [3], "fc1": [0, 63]})
    found = {group.id: group for group in result.groups}
    assert (found["conv1"].removed, found["conv2"].removed, found["fc1"].removed) == ((3,), (), (0, 63))
    assert [group.size for group in prunekit.groups(cnn)] == [32, 64, 64]
    rows = {(member.tensor, member.axis): member for member in found["conv2"].members}
    assert {("conv2.weight", 0), ("bn2.running_var", 0), ("fc1.weight", 1)} <= rows.keys()
    columns = rows["fc1.weight", 1]
    assert sorted(columns.positions[columns.units == 2].tolist()) == list(range(32, 48))
    smaller = result.model.state_dict()
    for group in result.groups:
        for member in group.members:
            lost = np.isin(member.units, group.removed).sum()
            assert smaller[member.tensor].shape[member.axis] == cnn.state_dict()[member.tensor].shape[member.axis] - lost
    assert prunekit.prune(cnn, PruneSpec(sparsity=0.5)).groups == ()


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ({"conv2": [64]}, "64 outputs"),
        ({"nowhere": [0]}, "nowhere"),
        ({"fc2": [0]}, "fc2 stays whole"),
        ({"conv1": range(32)}, "would be emptied"),
    ],
)
def test_what_cannot_go_is_said(cnn, indices, words):
    with pytest.raises(PruningError, match=words):
        prunekit.prune_indices(cnn, indices)


def test_an_output_that_goes_with_others_names_them():
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 4, 1)).eval()
    with pytest.raises(PruningError, match="cannot go alone"):
        prunekit.prune_indices(net, {"1": [0]}, input_shape=(3, 6, 6))
    assert prunekit.prune_indices(net, {"1": [0, 4]}, input_shape=(3, 6, 6)).proof.passed


def test_named_channels_say_all():
    for more in ({"sparsity": 0.5}, {"overrides": {"a": 0.5}}, {"cap_all": 0.5}):
        with pytest.raises(SpecError, match="nothing else does"):
            PruneSpec(mode="structured", indices={"a": [0]}, **more)
    for wrong in ({"a": []}, {"a": [-1]}, {"a": 1}, "a"):
        with pytest.raises(SpecError, match="indices"):
            PruneSpec(mode="structured", indices=wrong)


def test_soft_pruning_keeps_the_shape_and_computes_the_same(cnn):
    soft, hard = (prunekit.prune(cnn, PruneSpec(mode="structured", sparsity=0.5, soft=soft)) for soft in (True, False))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(soft.model(x), hard.model(x), rtol=1e-4, atol=1e-4)
    assert soft.kept == hard.kept and soft.after.params == soft.before.params and soft.proof is None
    assert all(layer.shape_after == layer.shape_before for layer in soft.layers)
    tuned = prunekit.fine_tune(soft.model, prunekit.load_data("digits", limit=200), prunekit.Recovery(epochs=1, weight_decay=0.0))
    lost = [i for i in range(64) if i not in soft.kept["conv2"]]
    assert not tuned.model.conv2.weight[lost].any(), "nothing flows through them that could bring them back"


def test_steps_need_no_training(cnn):
    recovery = prunekit.Recovery(schedule="agp", steps=3)
    assert recovery.active and recovery.title() == "AGP, 3 cuts"
    found = prunekit.prune_and_recover(cnn, PruneSpec(mode="structured", sparsity=0.6), recovery)
    assert found.result.achieved.removed == round(0.6 * 128) and found.result.proof.passed and not found.history
    once = prunekit.prune(cnn, PruneSpec(mode="structured", sparsity=0.6))
    assert found.result.kept != once.kept, "each cut is scored on what the one before has left"
    with pytest.raises(RecoveryError, match="choose one-shot"):
        prunekit.prune_and_recover(cnn, PruneSpec(mode="structured", soft=True), recovery)
