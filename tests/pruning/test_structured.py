"""Structured pruning: coupled channels, surgery, and the proof, on random networks of all supported blocks."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit.config.spec import PruneSpec
from prunekit.errors import ProofError, PruningError
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from prunekit.pruning.execution import carry_out, planned_counts
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from tests.nets import SHAPE, Residual, nets

fractions = st.floats(0, 0.97)


def all_layers(net):
    return PruneSpec(mode="structured", layers=prunable_layers(net))


def random_plan(net, sparsity, seed, scope="global"):
    spec = PruneSpec(mode="structured", sparsity=sparsity, criterion="random", scope=scope, seed=seed, layers=prunable_layers(net))
    return ChannelRanking.of(net, spec, trace(net, SHAPE)).cut()


@given(nets(), fractions, st.integers(0, 99))
def test_removing_is_zeroing(net, sparsity, seed):
    plan = random_plan(net, sparsity, seed)
    proof = prove(net, plan, batch=2)
    if plan.atoms.size:
        assert proof.passed, proof
    else:
        assert not proof.passed


@given(nets(), fractions, st.integers(0, 99))
def test_the_smaller_model_computes_what_the_zeroed_trained_one_does(net, sparsity, seed):
    plan = random_plan(net, sparsity, seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        x = torch.randn(3, *SHAPE)
        torch.testing.assert_close(shrink(net, plan).eval()(x), zeroed(net, plan)(x), rtol=1e-4, atol=1e-5)


@given(nets(), fractions, st.sampled_from(["global", "uniform"]), st.sampled_from(["l1", "l2", "random"]))
def test_counts_are_exact_and_no_layer_is_emptied(net, sparsity, scope, criterion):
    spec = PruneSpec(mode="structured", sparsity=sparsity, scope=scope, criterion=criterion, layers=prunable_layers(net))
    before = state_hash(net)
    result = prune(net, spec, input_shape=SHAPE)
    assert state_hash(net) == before
    plan = result.plan
    assert all(plan.kept.values())
    if scope == "global":
        assert plan.atoms.size == plan.wanted or any("at least one channel" in said for said in plan.limits)
        assert plan.wanted == round(sparsity * plan.total)
    assert planned_counts(net, plan, result.before) == (result.after.params, result.after.macs)
    assert result.after.params == sum(p.numel() for p in result.model.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result.model(torch.zeros(1, *SHAPE))
    assert result.after.macs == counter.get_total_flops() // 2
    for layer in result.layers:
        assert tuple(result.model.get_submodule(layer.name).weight.shape) == layer.shape_after
        assert len(layer.kept) == layer.shape_after[0]


@given(nets(), fractions, fractions, st.sampled_from(["global", "uniform"]))
def test_what_goes_only_grows_with_sparsity(net, a, b, scope):
    low, high = sorted((a, b))
    ranking = ChannelRanking.of(net, PruneSpec(mode="structured", scope=scope, layers=prunable_layers(net)), trace(net, SHAPE))
    assert set(ranking.cut(low).atoms.tolist()) <= set(ranking.cut(high).atoms.tolist())


@given(nets(), st.integers(0, 99))
def test_kept_weights_are_the_original_ones(net, seed):
    plan = random_plan(net, 0.4, seed)
    small = shrink(net, plan)
    for name in prunable_layers(net):
        old, new = net.get_submodule(name).weight, small.get_submodule(name).weight
        rows = list(plan.kept[name])
        if old.shape[1] == new.shape[1]:
            assert torch.equal(old[rows], new)


@given(nets(), st.integers(0, 99))
def test_the_smaller_model_trains_and_copies(net, seed):
    small = copy.deepcopy(shrink(net, random_plan(net, 0.5, seed))).train()
    small(torch.randn(4, *SHAPE)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())


def shifted(model, plan):
    """A surgery whose every mask is off by one channel: same shapes, wrong channels."""
    masks = {axis: np.roll(keep, 1) if axis[1] == 0 else keep for axis, keep in plan.masks.items()}
    wrong = dataclasses.replace(plan)
    wrong.__dict__["masks"] = masks
    return shrink(model, wrong)


def net_with_64():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), Residual(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


def test_a_surgery_shifted_by_one_channel_fails_its_proof():
    net = net_with_64()
    spec = PruneSpec(mode="structured", sparsity=20 / 64, scope="uniform", layers=("0", "3.a", "3.b"))
    plan = ChannelRanking.of(net, spec, trace(net, (3, 8, 8))).cut()
    assert prove(net, plan).passed
    proof = prove(net, plan, surgery=shifted)
    assert not proof.passed and proof.max_relative_error > 1e-2
    with pytest.raises(ProofError, match="does not give what zeroing"):
        carry_out(net, plan, spec, proof)


def test_64_filters_less_20_leave_44_and_the_next_layer_shrinks_too():
    net = net_with_64()
    result = prune(net, PruneSpec(mode="structured", sparsity=20 / 64, scope="uniform", layers=("0", "3.a", "3.b")), input_shape=(3, 8, 8))
    shapes = {layer.name: layer.shape_after for layer in result.layers}
    assert shapes == {"0": (44, 3, 3, 3), "3.a": (44, 44, 3, 3), "3.b": (44, 44, 1, 1), "6": (5, 44)}
    assert result.kept["0"] == result.kept["3.b"] and len(result.kept["3.a"]) == 44
    assert result.achieved.removed == 40 and result.achieved.total == 128
    assert result.proof.passed and result.proof.output_change > 0.01


def test_l1_removes_the_filters_with_the_smallest_norm():
    net = nn.Sequential(nn.Conv2d(1, 10, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(10 * 36, 3))
    norms = net[0].weight.abs().sum((1, 2, 3)).detach().numpy()
    result = prune(net, PruneSpec(mode="structured", sparsity=0.4, layers=("0",)), input_shape=(1, 8, 8))
    assert result.kept["0"] == tuple(sorted(np.argsort(norms)[4:].tolist()))


def test_global_scores_are_relative_so_that_a_layer_of_small_weights_is_not_emptied():
    net = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    with torch.no_grad():
        net[2].weight.mul_(1e-6)
    result = prune(net, PruneSpec(mode="structured", sparsity=0.5), input_shape=(8,))
    assert 5 < len(result.kept["0"]) < 35 and 5 < len(result.kept["2"]) < 35


def test_a_proof_of_nothing_does_not_pass_and_nothing_removed_is_said():
    net = net_with_64()
    result = prune(net, PruneSpec(mode="structured", sparsity=0.0), input_shape=(3, 8, 8))
    assert result.proof is None and any("nothing to prove" in said for said in result.limits)
    assert not prove(net, result.plan).passed


def test_zero_initialised_weights_do_not_hide_a_wrong_surgery():
    net = net_with_64()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    plan = ChannelRanking.of(net, all_layers(net), trace(net, (3, 8, 8))).cut(0.3)
    assert prove(net, plan).passed and not prove(net, plan, surgery=shifted).passed


def test_a_forgotten_coupling_fails_its_proof():
    """Equal ratios hide a missing tie from shapes; the numbers show it."""
    net = net_with_64()
    plan = ChannelRanking.of(net, all_layers(net), trace(net, (3, 8, 8))).cut(0.3)

    def forgetful(model, plan):
        masks = dict(plan.masks)
        for name in ("3.b.weight", "3.b.bias"):
            masks[name, 0] = masks[name, 0][::-1].copy()
        wrong = dataclasses.replace(plan)
        wrong.__dict__["masks"] = masks
        return shrink(model, wrong)

    assert not prove(net, plan, surgery=forgetful).passed


class HardCoded(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.Linear(128, 3)

    def forward(self, x):
        return self.fc(self.conv(self.first(x)).view(-1, 128))


class DataDependent(HardCoded):
    def forward(self, x):
        return self.fc(x.flatten(1)[:, :128]) if x.sum().item() > 0 else x


class Rolled(HardCoded):
    def forward(self, x):
        return self.fc(torch.i0(self.conv(self.first(x))).flatten(1))


def test_a_size_written_into_forward_is_said_of_the_layer_that_it_keeps():
    result = prune(HardCoded().eval(), PruneSpec(mode="structured", layers=("first", "conv")), input_shape=(1, 8, 8))
    assert len(result.kept["conv"]) == 8 and len(result.kept["first"]) < 4 and result.proof.passed
    assert any(limit.startswith("conv stays whole: a size written into forward()") and ".view(-1, 128)" in limit for limit in result.limits)


def test_control_flow_on_values_is_an_error_that_says_so():
    with pytest.raises(PruningError, match="without values"):
        trace(DataDependent().eval(), (1, 12, 12))


def test_an_unsupported_operation_is_named_and_what_it_touches_stays():
    net = Rolled().eval()
    graph = trace(net, (1, 8, 8))
    assert any("i0" in said for said in graph.limits)
    with pytest.raises(PruningError, match=r"nothing can be removed.*i0"):
        prune(net, PruneSpec(mode="structured"), input_shape=(1, 8, 8))
    result = prune(net, PruneSpec(mode="structured", layers=("first", "conv")), input_shape=(1, 8, 8))
    assert len(result.kept["conv"]) == 8 and len(result.kept["first"]) == 2
    assert any("conv stays whole" in said for said in result.limits)


def test_the_classifier_and_half_a_coupled_group_are_refused_with_the_reason():
    net = net_with_64()
    with pytest.raises(PruningError, match="model's outputs"):
        prune(net, PruneSpec(mode="structured", layers=("6",)), input_shape=(3, 8, 8))
    with pytest.raises(PruningError, match=r"3\.b stays whole: it shrinks together with 0"):
        prune(net, PruneSpec(mode="structured", layers=("3.b",)), input_shape=(3, 8, 8))


def test_overrides_of_structured_layers():
    net = net_with_64()
    spec = PruneSpec(mode="structured", sparsity=0.5, layers=("0", "3.a", "3.b"), overrides={"3.a": 0.25})
    result = prune(net, spec, input_shape=(3, 8, 8))
    assert len(result.kept["3.a"]) == 48 and len(result.kept["0"]) == 16
    assert {layer.name: layer.requested for layer in result.layers} == {"0": None, "3.a": 0.25, "3.b": None, "6": None}
    with pytest.raises(PruningError, match="shrink together"):
        prune(net, PruneSpec(mode="structured", overrides={"0": 0.2, "3.b": 0.3}), input_shape=(3, 8, 8))
    with pytest.raises(PruningError, match="at most"):
        prune(net, PruneSpec(mode="structured", sparsity=0.9, layers=("0", "3.a", "3.b"), overrides={"3.a": 0.1}), input_shape=(3, 8, 8))
    with pytest.raises(PruningError, match="override of 6"):
        prune(net, PruneSpec(mode="structured", overrides={"6": 0.2}), input_shape=(3, 8, 8))


def test_a_threshold_of_one_removes_what_is_below_average():
    net = net_with_64()
    result = prune(net, PruneSpec(mode="structured", threshold=1.0, layers=("3.a",)), input_shape=(3, 8, 8))
    norms = net[3].a.weight.abs().sum((1, 2, 3))
    assert len(result.kept["3.a"]) == int((norms >= norms.mean()).sum())


def test_a_layer_that_would_be_emptied_keeps_its_best_channel_and_says_so():
    net = net_with_64()
    result = prune(net, PruneSpec(mode="structured", sparsity=0.999, scope="uniform", layers=("3.a",)), input_shape=(3, 8, 8))
    best = int(net[3].a.weight.abs().sum((1, 2, 3)).argmax())
    assert result.kept["3.a"] == (best,)
    assert any("3.a would have been emptied" in said for said in result.limits)


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.out(self.b(self.a(x)))

    net = Tied().eval()
    graph = trace(net, (6,))
    assert prunable_layers(net) == ("a", "out")
    assert "a" in graph.immovable  # its rows are its columns, and the columns read the input


def test_effective_macs_of_a_masked_model():
    net = net_with_64()
    result = prune(net, PruneSpec(sparsity=0.5, layers=("3.a",)), input_shape=(3, 8, 8))
    dense = count(net, (3, 8, 8))
    layer = 64 * 64 * 9 * 36
    assert dense.macs - result.after.effective_macs == layer // 2 and result.after.macs == dense.macs


@pytest.mark.parametrize("kind", ["pooled", "flat", "branching"])
def test_a_model_is_proved_on_smaller_images_on_which_it_does_the_same(kind, monkeypatch):
    from prunekit.pruning import proof_inputs as module

    monkeypatch.setattr(module, "LEAST_MACS", 1)
    monkeypatch.setattr(module, "LEAST_SIDE", 3)

    class Branching(nn.Module):
        def forward(self, x):
            return x.relu() if x.shape[-1] > 6 else x

    end = [nn.Flatten(), nn.Linear(5 * 144, 4)] if kind == "flat" else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)]
    end = [Branching(), *end] if kind == "branching" else end
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), Residual(6, 4), nn.Conv2d(6, 5, 1), *end).eval()
    spec = PruneSpec(mode="structured", sparsity=0.4, layers=prunable_layers(net))
    plan = ChannelRanking.of(net, spec, trace(net, (2, 12, 12))).cut()
    seen = []

    def surgery(model, plan):
        small = shrink(model, plan)
        small.register_forward_pre_hook(lambda _m, args: seen.append(tuple(args[0].shape)))
        return small

    assert prove(net, plan, surgery=surgery).passed
    assert set(seen) == {(1, 2, 3, 3) if kind == "pooled" else (1, 2, 12, 12)}
    assert not prove(net, plan, surgery=lambda model, plan: model).passed
