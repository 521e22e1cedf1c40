"""Structured targets in channels, parameters and MACs, caps and channel multiples, on random networks of all supported blocks."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, PruningError, SpecError
from prunekit.models.layers import prunable_layers
from prunekit.pruning.api import prune
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.target_search import TOLERANCE
from tests.nets import SHAPE, nets

shares = st.floats(0.05, 0.9)
scopes = st.sampled_from(["global", "uniform"])
NOTHING = np.empty(0, dtype=np.int64)


def ranked(net, **fields):
    fields = {"criterion": "random", "layers": prunable_layers(net), **fields}
    return ChannelRanking.of(net, PruneSpec(mode="structured", **fields), trace(net, SHAPE))


def best_mix(ranking, wanted):
    """The nearest that any mix of counts comes; None where there are too many to try."""
    sizes = [ladder.levels.size for ladder in ranking.stairs.ladders]
    if math.prod(sizes) > 500:
        return None
    mixes = itertools.product(*map(range, sizes))
    return min(abs(ranking.taken(np.array(mix), NOTHING) - wanted) for mix in mixes)


@given(nets(), shares, st.sampled_from(["params", "macs"]), scopes, st.sampled_from([1, 4, 8]), st.none() | st.floats(0.2, 0.9))
def test_a_target_is_met_within_two_points_or_the_reason_is_told(net, share, target, scope, multiple, cap):
    ranking = ranked(net, sparsity=share, target=target, scope=scope, round_to=multiple, cap_all=cap)
    plan = ranking.cut()
    missed = abs(plan.removed - plan.wanted) > TOLERANCE * plan.total
    assert missed == any("asked for and" in said for said in plan.limits)
    best = best_mix(ranking, plan.wanted)
    if best is not None and best <= TOLERANCE * plan.total:
        assert not missed
    for said in plan.limits:
        assert "multiple" not in said or multiple > 1
        assert "caps" not in said or cap is not None


@given(nets(), shares, st.sampled_from(["params", "macs"]), st.sampled_from([1, 4]))
def test_what_a_target_counts_is_what_the_smaller_model_holds(net, share, target, multiple):
    spec = PruneSpec(mode="structured", sparsity=share, target=target, round_to=multiple, layers=prunable_layers(net))
    result = prune(net, spec, input_shape=SHAPE)
    with FlopCounterMode(display=False) as dense, torch.no_grad():
        net(torch.zeros(1, *SHAPE))
    with FlopCounterMode(display=False) as small, torch.no_grad():
        result.model(torch.zeros(1, *SHAPE))
    held = {
        "params": (sum(p.numel() for p in net.parameters()), sum(p.numel() for p in result.model.parameters())),
        "macs": (dense.get_total_flops() // 2, small.get_total_flops() // 2),
    }[target]
    achieved = result.achieved
    assert (achieved.unit, achieved.total, achieved.removed) == (target, held[0], held[0] - held[1])
    assert achieved.sparsity == achieved.removed / achieved.total and achieved.requested == share


@given(nets(), shares, st.sampled_from(["channels", "params", "macs"]), scopes, st.data())
def test_no_layer_loses_more_than_its_cap(net, share, target, scope, data):
    names = prunable_layers(net)
    caps = data.draw(st.dictionaries(st.sampled_from(names), st.floats(0, 1), max_size=4))
    everywhere = data.draw(st.none() | st.floats(0, 1))
    ranking = ranked(net, sparsity=share, target=target, scope=scope, caps=caps, cap_all=everywhere)
    plan = ranking.cut()
    for name, (before, after) in plan.layer_shapes.items():
        assert before[0] - after[0] <= ranking.spec.cap(name) * before[0] + 1e-6
        assert after[0] >= 1
    if target == "channels" and (scope == "global" or ranking.spec.capped):  # uniform alone lets every layer round by itself
        open_to = sum(ladder.levels[-1] for ladder in ranking.stairs.ladders)
        assert plan.atoms.size == min(plan.wanted, open_to)  # what capped layers do not give, the others do


@given(nets(), shares, st.sampled_from(["channels", "params", "macs"]), scopes, st.sampled_from([4, 8, 16]))
def test_what_stays_of_a_layer_that_shrinks_is_a_multiple(net, share, target, scope, multiple):
    plan = ranked(net, sparsity=share, target=target, scope=scope, round_to=multiple).cut()
    for before, after in plan.layer_shapes.values():
        assert after[0] == before[0] or after[0] % multiple == 0


@given(nets(), shares, shares, scopes, st.sampled_from([1, 4]), st.floats(0.3, 1))
def test_multiples_and_caps_of_nothing_change_nothing(net, a, b, scope, multiple, cap):
    free = ranked(net, sparsity=a, scope="global", criterion="l1").cut().atoms
    assert set(free.tolist()) == set(ranked(net, sparsity=a, scope="global", criterion="l1", cap_all=1.0).cut().atoms.tolist())
    low, high = sorted((a, b))
    stairs = ranked(net, scope=scope, round_to=multiple, cap_all=cap).stairs
    turns = [round(share * stairs.turns.size) for share in (low, high)]
    gone = [set(stairs.gone(stairs.levels(turn)).tolist()) for turn in turns]
    assert gone[0] <= gone[1]  # more turns only remove more


@given(nets(), shares, scopes, st.sampled_from([1, 4]))
def test_the_least_important_of_a_group_go_first(net, share, scope, multiple):
    ranking = ranked(net, sparsity=share, scope=scope, round_to=multiple, criterion="l2")
    plan = ranking.cut()
    gone = set(plan.atoms.tolist())
    for group in ranking.groups:
        alike = all(np.isin(group.atoms, ranking.graph.incidence[layer][1]).all() for layer in group.layers)
        scores = dict(zip(group.atoms.tolist(), ranking.scores[group.id].tolist(), strict=True))
        kept = [scores[a] for a in scores if a not in gone and a not in ranking.reserved]
        lost = [scores[a] for a in scores if a in gone]
        if alike and kept and lost:  # where layers hold different parts of a group, each part keeps its own multiple
            assert max(lost) <= min(kept)


def wide():
    """Three layers of 64, 64 and 32 channels."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Conv2d(64, 32, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)).eval()


def wide_result(**fields):
    fields = {"mode": "structured", "layers": ("0", "3", "5"), **fields}
    return prune(wide(), PruneSpec(**fields), input_shape=(3, 12, 12))


@pytest.mark.parametrize("target", ["params", "macs"])
@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_half_of_the_macs_means_half_of_the_macs(target, scope, share):
    result = wide_result(sparsity=share, target=target, scope=scope)
    assert abs(result.achieved.sparsity - share) <= TOLERANCE and not result.limits
    assert result.proof.passed


def test_the_multiple_that_prevents_a_target_is_named():
    result = wide_result(sparsity=0.17, target="macs", round_to=16)
    assert abs(result.achieved.sparsity - 0.17) > TOLERANCE
    assert any("the channel multiple of 16 prevents it" in said for said in result.limits)
    assert all(len(kept) % 16 == 0 for name, kept in result.kept.items() if name != "9")


def test_the_cap_that_prevents_a_target_is_named():
    result = wide_result(sparsity=0.8, target="params", cap_all=0.25)
    assert any("the caps prevent it" in said for said in result.limits)
    assert [len(result.kept[name]) for name in ("0", "3", "5")] == [48, 48, 24]


def test_caps_and_multiple_together_are_named():
    result = wide_result(sparsity=0.6, target="macs", caps={"0": 0.2, "3": 0.2, "5": 0.2}, round_to=16)
    assert any("the caps prevent it" in said or "together" in said for said in result.limits)
    assert all(len(result.kept[name]) >= 0.8 * size for name, size in (("0", 64), ("3", 64), ("5", 32)))


def test_what_the_chosen_layers_cannot_give_is_said():
    result = wide_result(sparsity=0.9, target="params", layers=("5",))
    assert any("hold no more" in said for said in result.limits) and len(result.kept["5"]) == 1


def test_a_cap_holds_in_global_mode_and_the_others_make_up_for_it():
    net = wide()
    with torch.no_grad():
        net[3].weight[:60] *= 1e-3  # nearly all of this layer would go
    free = prune(net, PruneSpec(mode="structured", sparsity=0.4, layers=("0", "3", "5")), input_shape=(3, 12, 12))
    held = prune(net, PruneSpec(mode="structured", sparsity=0.4, layers=("0", "3", "5"), caps={"3": 0.5}), input_shape=(3, 12, 12))
    assert len(free.kept["3"]) < 10 and len(held.kept["3"]) == 32
    assert free.achieved.removed == held.achieved.removed == 64


def test_a_cap_on_one_layer_holds_those_that_shrink_with_it():
    from tests.nets import Residual

    net = nn.Sequential(nn.Conv2d(3, 16, 3), Residual(16, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()
    fields = {"mode": "structured", "sparsity": 0.7, "layers": ("0", "1.a", "1.b")}
    result = prune(net, PruneSpec(**fields, caps={"1.b": 0.25}), input_shape=(3, 8, 8))
    assert len(result.kept["0"]) == len(result.kept["1.b"]) == 12
    with pytest.raises(PruningError, match=r"override of 0 asks for 0\.5.*cap"):
        prune(net, PruneSpec(**fields, caps={"1.b": 0.25}, overrides={"0": 0.5}), input_shape=(3, 8, 8))


def test_an_override_is_brought_to_the_multiple_and_said():
    result = wide_result(sparsity=0.3, overrides={"5": 0.3}, round_to=8)
    assert len(result.kept["5"]) == 24 and any("5 was to lose 10 of 32" in said and "multiple of 8" in said for said in result.limits)


def test_a_threshold_stops_at_caps_and_multiples():
    free = wide_result(threshold=1.0)
    held = wide_result(threshold=1.0, round_to=8, caps={"3": 0.1})
    for name in ("0", "3", "5"):
        assert set(free.kept[name]) <= set(held.kept[name]) and len(held.kept[name]) % 8 == 0
    assert len(held.kept["3"]) == 64 and any("its cap holds it" in said for said in held.limits)


def test_overrides_that_take_more_than_the_target_are_refused():
    with pytest.raises(PruningError, match="the overrides of single layers take"):
        wide_result(sparsity=0.1, target="macs", overrides={"0": 0.9})


def test_a_target_belongs_to_a_sparsity():
    with pytest.raises(SpecError, match="target"):
        wide_result(threshold=1.0, target="macs")


def test_bn_scale_looks_at_the_norms_and_leaves_what_has_none():
    net = wide()
    with torch.no_grad():
        net[1].weight.copy_(torch.arange(64.0) + 1)
    result = prune(net, PruneSpec(mode="structured", criterion="bn_scale", sparsity=0.25, layers=("0", "3", "5")), input_shape=(3, 12, 12))
    assert result.kept["0"] == tuple(range(16, 64)) and len(result.kept["3"]) == 64
    assert any("3 stays whole: no BatchNorm" in said for said in result.limits)
    with pytest.raises(PruningError, match="no BatchNorm"):
        prune(net, PruneSpec(mode="structured", criterion="bn_scale", layers=("3",)), input_shape=(3, 12, 12))


def test_criteria_that_need_data_say_so():
    with pytest.raises(DataError, match="taylor"):
        wide_result(criterion="taylor")


def test_a_ranking_serves_every_sparsity():
    ranking = ChannelRanking.of(wide(), PruneSpec(mode="structured", target="macs", layers=("0", "3", "5")), trace(wide(), (3, 12, 12)))
    for share in (0.2, 0.5, 0.8):
        once = dataclasses.replace(ranking, spec=ranking.spec.at(share)).cut()
        assert np.array_equal(ranking.cut(share).atoms, once.atoms)


def test_bytes_count_each_weight_by_its_precision():
    net = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4))
    plan = ChannelRanking.of(net, PruneSpec(mode="structured", sparsity=0.5, target="bytes"), trace(net, (8,))).cut()
    other = ChannelRanking.of(net, PruneSpec(mode="structured", sparsity=0.5, target="params"), trace(net, (8,))).cut()
    assert plan.kept == other.kept and (plan.total, plan.removed) == (4 * other.total, 4 * other.removed)
    mixed = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4))
    mixed[2].half()
    ranking = ChannelRanking.of(net, PruneSpec(mode="structured", sparsity=0.5, target="bytes"), trace(net, (8,)))
    halves = {name: p.element_size() for name, p in mixed.named_parameters()}
    ranking = dataclasses.replace(ranking, widths=halves)
    cut = ranking.cut()
    small = {name: math.prod(shape) for name, shape in ranking.shapes.items()}
    assert ranking.meter.total == sum(count * halves[name] for name, count in small.items())
    assert abs(cut.removed / cut.total - 0.5) < TOLERANCE
