"""Layers whose outputs can go in two ways: by heads and by dimensions of attention, by groups and by places within them."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import VisionTransformer

from prunekit.config.spec import PruneSpec
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.training.pruning_steps import Shrinking

SHAPE = (3, 8, 8)
ATTENTION = "encoder.layers.encoder_layer_0.self_attention"
TURNED = "encoder.layers.encoder_layer_1.self_attention"
sizes = st.tuples(st.sampled_from([2, 4, 7]), st.sampled_from([3, 8]))


@functools.cache
def attention(heads, width):
    """Two blocks of attention with so many heads of so many dimensions, and their couplings."""
    torch.manual_seed(0)
    hidden = heads * width
    model = VisionTransformer(8, 4, num_layers=2, num_heads=heads, hidden_dim=hidden, mlp_dim=12, num_classes=3).eval()
    return model, trace(model, SHAPE)


@functools.cache
def grouped(groups, places):
    """A layer before a grouped convolution, and its couplings."""
    torch.manual_seed(0)
    width = groups * places
    layers = [nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, groups=groups), nn.ReLU(), nn.Conv2d(2 * width, 9, 1)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 3)).eval()
    return model, trace(model, SHAPE)


def ranked(net, **fields):
    model, graph = net
    return ChannelRanking.of(model, PruneSpec(mode="structured", **{"sparsity": 0.9, **fields}), graph)


def lost(plan, layer):
    before, after = plan.layer_shapes[layer]
    return 1 - after[0] / before[0]


@given(sizes, st.sampled_from(["heads", "head dimensions"]), st.floats(0, 1))
def test_a_cap_on_the_one_kind_of_unit_that_may_go_is_used_up(size, kind, cap):
    plan = ranked(attention(*size), units=[kind], cap_all=cap, sparsity=0.99).cut()
    units = dict(zip(("heads", "head dimensions"), size, strict=True))[kind]
    for layer in (ATTENTION, TURNED):
        gone = min(math.floor(cap * 3 * size[0] * size[1] + 1e-9) // (3 * size[0] * size[1] // units), units - 1)
        assert lost(plan, layer) == pytest.approx(gone / units)


@given(sizes, st.sampled_from(["heads", "head dimensions"]), st.sampled_from([4, 8, 16]))
def test_every_count_of_the_one_kind_of_unit_that_leaves_a_multiple_is_open(size, kind, multiple):
    units = dict(zip(("heads", "head dimensions"), size, strict=True))[kind]
    each = 3 * size[0] * size[1] // units
    fit = [gone for gone in range(1, units) if (units - gone) * each % multiple == 0]
    for ladder in ranked(attention(*size), units=[kind], round_to=multiple).stairs.ladders:
        assert ladder.levels.tolist() == [0, *fit]


@given(sizes, st.floats(0, 1), st.sampled_from([attention, grouped]))
def test_where_both_roles_are_open_they_keep_the_cap_together(size, cap, build):
    plan = ranked(build(*size), cap_all=cap, sparsity=0.99).cut()
    assert all(lost(plan, name) <= cap + 1e-6 for name in plan.layer_shapes)


def test_a_cap_of_half_lets_half_of_the_heads_go():
    ranking = ranked(attention(8, 8), units=["heads"], cap_all=0.5, sparsity=0.5)
    assert ranking.cut().removed == 8 and not [said for said in ranking.cut().limits if "asked for" in said]
    assert ranked(attention(8, 8), units=["heads"], round_to=8, sparsity=0.5).cut().removed == 8


@given(sizes, st.floats(0, 0.9), st.sampled_from([attention, grouped]))
def test_an_override_is_met_by_both_roles_together_within_half_a_unit_of_one(size, share, build):
    layer = ATTENTION if build is attention else "0"
    plan = ranked(build(*size), overrides={layer: share}, threshold=0, sparsity=None).cut()
    left = [group.size - int(np.isin(group.atoms, plan.atoms).sum()) for group in plan.groups if layer in group.layers]
    assert len(left) == 2 and 1 - lost(plan, layer) == pytest.approx(left[0] * left[1] / (size[0] * size[1]))
    emptied = any("best channel stays" in said for said in plan.limits)
    assert emptied or abs(lost(plan, layer) - share) <= 0.5 / max(size) + 1e-9
    assert {plan.requested[group.id] for group in plan.groups if layer in group.layers} == {share}


@given(sizes, st.floats(0, 0.9), st.sampled_from([1, 4]), st.sampled_from([attention, grouped]))
def test_an_override_that_is_missed_by_more_than_a_unit_says_what_held_it(size, share, multiple, build):
    layer = ATTENTION if build is attention else "0"
    plan = ranked(build(*size), overrides={layer: share}, caps={layer: share}, round_to=multiple, threshold=0, sparsity=None).cut()
    assert lost(plan, layer) <= share + 1e-6
    said = [said for said in plan.limits if "was to lose" in said]
    assert said or abs(lost(plan, layer) - share) <= 0.5 / max(size) + 1e-9
    for sentence in said:
        assert "best channel" in sentence or "a cap holds it" in sentence or (multiple > 1 and "multiple of 4" in sentence)


def test_a_cap_that_holds_an_override_is_named_and_not_the_best_channel():
    plan = ranked(attention(8, 8), overrides={ATTENTION: 0.5}, caps={ATTENTION: 0.5}, sparsity=0.3).cut()
    assert [said.partition(": ")[2] for said in plan.limits if "was to lose" in said] == ["a cap holds it"]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_uniform_asks_of_a_layer_what_the_same_share_of_both_its_kinds_of_units_takes(share):
    plan = ranked(attention(8, 8), scope="uniform", sparsity=share).cut()
    asked = {layer: plan.requested[group.id] for group in plan.groups for layer in group.layers}
    assert asked[ATTENTION] == pytest.approx(1 - (1 - share) ** 2) and "encoder.layers.encoder_layer_0.mlp.0" in asked
    for layer, wanted in asked.items():
        assert lost(plan, layer) == pytest.approx(wanted)


def test_gradual_cuts_end_where_the_override_of_two_roles_was_asked_to():
    model, _ = attention(8, 8)
    spec = PruneSpec(mode="structured", sparsity=0.4, overrides={ATTENTION: 0.5})
    steps, now = Shrinking(model, spec, None, SHAPE), model
    for part in (0.5, 1.0):
        result = steps.cut(now, dataclasses.replace(spec.at(0.4 * part), overrides={ATTENTION: 0.5 * part}))
        now = result.model
    found = next(layer for layer in result.layers if layer.name == ATTENTION)
    assert found.requested == 0.5 and abs(found.sparsity - 0.5) <= 0.5 / 8
    assert result.achieved.removed == round(0.4 * result.achieved.total)
