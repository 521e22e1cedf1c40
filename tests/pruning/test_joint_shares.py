"""One share for several layers: exact, by score or evenly, over masks and channels, and in steps."""

import copy
import itertools

import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError, SpecError
from prunekit.pruning.layer_selection import joint_shares
from prunekit.training.pruning_steps import cutter, settings_of
from tests.pruning.peer import oracle

SHAPE = (3, 8, 8)


def stack(*widths):
    return nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), stack(8, 12, 16), stack(16, 20, 10), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4)
    ).eval()


def prune(net, **fields):
    return prunekit.prune(net, PruneSpec(mode="structured", **fields), input_shape=SHAPE)


def lost(net, result, *layers):
    return [net.get_submodule(name).out_channels - len(result.kept[name]) for name in layers]


def test_a_block_gives_its_share_and_scores_say_from_where(net):
    result = prune(net, sparsity=0.5, shares={"1": 0.75})
    counts = lost(net, result, "1.0", "1.1")
    assert sum(counts) == 21 and result.achieved.removed == round(0.5 * result.achieved.total)
    even = prune(net, sparsity=0.5, shares={"1.*": 0.75}, scope="uniform")
    assert lost(net, even, "1.0", "1.1") == [9, 12]


def test_the_peer_takes_as_many_of_several_modules_together(net):
    ours = prune(net, sparsity=20 / 58, shares={"1.0,2.0": 0.5, "1.1": 0.25}, layers=["1.0", "1.1", "2.0", "2.1"], overrides={"2.1": 0.0})
    theirs = copy.deepcopy(net).requires_grad_(True)
    pruner = oracle.pruner.BasePruner(
        theirs,
        torch.zeros(1, *SHAPE),
        oracle.importance.GroupMagnitudeImportance(p=1, group_reduction="first", target_types=[nn.Conv2d]),
        global_pruning=True,
        pruning_ratio=0.0,
        pruning_ratio_dict={(theirs[1][0], theirs[2][0]): 0.5, theirs[1][1]: 0.25},
        ignored_layers=[theirs[-1]],
    )
    pruner.step()
    assert [theirs.get_submodule(name).out_channels for name in ("1.0", "1.1", "2.0", "2.1")] == [
        len(ours.kept[name]) for name in ("1.0", "1.1", "2.0", "2.1")
    ]


def test_masks_of_a_joint_share_are_exact(net):
    for scope in ("global", "uniform", "erk"):
        result = prunekit.prune(net, PruneSpec(sparsity=0.5, scope=scope, shares={"1.*": 0.9}), input_shape=SHAPE)
        masks = result.masks
        sizes = {name: mask.numel() for name, mask in masks.items()}
        zeros = {name: int((~mask).sum()) for name, mask in masks.items()}
        within = [name for name in sizes if name.startswith("1.")]
        assert abs(sum(zeros[name] for name in within) - 0.9 * sum(sizes[name] for name in within)) <= 1
        assert sum(zeros.values()) == round(0.5 * sum(sizes.values()))


def test_steps_rise_to_a_joint_share(net):
    spec, recovery = PruneSpec(mode="structured", sparsity=0.5, shares={"1": 0.75}), Recovery(epochs=3, schedule="linear", steps=3)
    cut, now = cutter(net, spec, recovery, None, SHAPE), net
    for setting in settings_of(spec, recovery):
        result = cut(now, setting)
        now = result.model
    assert sum(lost(net, result, "1.0", "1.1")) == 21 and result.achieved.removed == round(0.5 * result.achieved.total)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shares": {"nowhere.*": 0.5}}, "nowhere"),
        ({"shares": {"1": 0.5, "1.0": 0.2}}, "part of the share of"),
        ({"shares": {"1": 0.5}, "overrides": {"1.0": 0.1}}, "override of its own"),
        ({"shares": {"5": 0.5}}, "cannot be honoured"),
    ],
)
def test_what_cannot_be_is_said(net, fields, words):
    with pytest.raises(PruningError, match=words):
        prune(net, **fields)


def test_names_are_brought_into_one_form():
    spec = PruneSpec(shares={" b , a ": 0.5})
    assert spec.shares == (("b,a", 0.5),) and PruneSpec.from_dict(spec.to_dict()) == spec
    for wrong in ({"a,,b": 0.5}, {"a": 1.0}, "a"):
        with pytest.raises(SpecError, match="shares"):
            PruneSpec(shares=wrong)
    assert [sorted(each.within) for each in joint_shares(spec, ["a", "b.0", "b.1", "ba"])] == [["a", "b.0", "b.1"]]
