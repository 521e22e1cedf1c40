"""Where others go wrong without a word: frozen parameters, layers of other scales in global mode, asked-for parameters and MACs."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunekit import load_data, load_model, prune
from prunekit.config.spec import PruneSpec
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.pruning.execution import planned_counts
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from tests.held import held
from tests.nets import SHAPE, nets
from tests.transformers import NETS
from tests.transformers import SHAPE as IMAGE


@pytest.mark.parametrize("criterion", ["l1", "fpgm", "taylor"])
def test_frozen_parameters_prune_like_any_other_and_stay_frozen(criterion):
    frozen, data = load_model("digits_cnn").requires_grad_(False), load_data("digits")
    partly, free = copy.deepcopy(frozen).requires_grad_(True), copy.deepcopy(frozen).requires_grad_(True)
    partly.conv1.requires_grad_(False)
    spec = PruneSpec(mode="structured", sparsity=0.37, criterion=criterion, samples=64)
    found = [prune(model, spec, data) for model in (frozen, partly, free)]
    assert all(result.proof.passed and result.kept == found[0].kept for result in found)
    assert any(len(stays) < found[0].plan.graph.outputs[name].size for name, stays in found[0].kept.items())
    for model, result in zip((frozen, partly, free), found, strict=True):
        before = {name: p.requires_grad for name, p in model.named_parameters()}
        assert {name: p.requires_grad for name, p in result.model.named_parameters()} == before


@given(nets(), st.data(), st.floats(0.1, 0.9), st.sampled_from(["l1", "l2"]))
def test_what_goes_in_global_mode_does_not_depend_on_the_scale_of_a_layer(net, data, sparsity, criterion):
    spec = PruneSpec(mode="structured", sparsity=sparsity, criterion=criterion, layers=prunable_layers(net))
    other = copy.deepcopy(net)
    with torch.no_grad():
        for name in prunable_layers(net):
            other.get_submodule(name).weight *= 2.0 ** data.draw(st.integers(-20, 20))
    first, second = (ChannelRanking.of(model, spec, trace(model, SHAPE)).cut() for model in (net, other))
    assert first.kept == second.kept and all(second.kept.values())


@pytest.mark.parametrize("name", ["cifar10_resnet20", "torchvision/resnet18", "vit"])
def test_four_fifths_in_global_mode_are_four_fifths_and_every_group_gives_and_keeps_some(name):
    model, graph = held(name)
    plan = ChannelRanking.of(model, PruneSpec(mode="structured", sparsity=0.8), graph).cut()
    assert plan.removed == round(0.8 * plan.total)
    gone = set(plan.atoms.tolist())
    shares = [len(gone & set(group.atoms.tolist())) / group.size for group in plan.groups]
    assert len(shares) > 5 and min(shares) > 0.4 and max(shares) < 1
    assert all(plan.kept.values())


def test_a_cap_holds_every_layer_in_global_mode():
    model = load_model("cifar10_resnet20")
    with torch.no_grad():
        for block in model.layer2:
            block.conv1.weight[2:] *= 1e-3  # nearly all would go
    graph = trace(model, (3, 32, 32))
    free, held = (ChannelRanking.of(model, PruneSpec(mode="structured", sparsity=0.5, cap_all=cap), graph).cut() for cap in (None, 0.55))
    lost = {name: 1 - after[0] / before[0] for name, (before, after) in held.layer_shapes.items()}
    assert max(1 - after[0] / before[0] for before, after in free.layer_shapes.values()) > 0.9
    assert max(lost.values()) <= 0.55 and held.removed == free.removed == round(0.5 * held.total)


@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("target", ["params", "macs"])
@pytest.mark.parametrize("name", [*NETS, "cifar10_resnet20"])
def test_a_third_and_a_half_of_parameters_and_macs_are_met_within_two_points(name, target, scope):
    model, graph = held(name)
    before = count(model, IMAGE)
    for share in (0.3, 0.5):
        spec = PruneSpec(mode="structured", sparsity=share, target=target, scope=scope, layers=prunable_layers(model))
        plan = ChannelRanking.of(model, spec, graph).cut()
        assert plan.removed / plan.total == pytest.approx(share, abs=0.02)
        assert plan.total == getattr(before, target)
        after = dict(zip(("params", "macs"), planned_counts(model, plan, before), strict=True))
        assert plan.removed == plan.total - after[target]
