"""Layers whose outputs can go in two ways: by heads and by dimensions of attention, by groups and by places within them."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import VisionTransformer

from prunekit.pruning import ChannelRanking, trace
from prunekit.spec import PruneSpec

SHAPE = (3, 8, 8)
ATTENTION = "encoder.layers.encoder_layer_0.self_attention"
TURNED = "encoder.layers.encoder_layer_1.self_attention"
sizes = st.tuples(st.integers(2, 8), st.integers(2, 8))


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
@settings(max_examples=25, deadline=None)
def test_a_cap_on_the_one_kind_of_unit_that_may_go_is_used_up(size, kind, cap):
    plan = ranked(attention(*size), units=[kind], cap_all=cap, sparsity=0.99).cut()
    units = dict(zip(("heads", "head dimensions"), size, strict=True))[kind]
    for layer in (ATTENTION, TURNED):
        gone = min(math.floor(cap * 3 * size[0] * size[1] + 1e-9) // (3 * size[0] * size[1] // units), units - 1)
        assert lost(plan, layer) == pytest.approx(gone / units)


@given(sizes, st.sampled_from(["heads", "head dimensions"]), st.sampled_from([4, 8, 16]))
@settings(max_examples=25, deadline=None)
def test_every_count_of_the_one_kind_of_unit_that_leaves_a_multiple_is_open(size, kind, multiple):
    units = dict(zip(("heads", "head dimensions"), size, strict=True))[kind]
    each = 3 * size[0] * size[1] // units
    fit = [gone for gone in range(1, units) if (units - gone) * each % multiple == 0]
    for ladder in ranked(attention(*size), units=[kind], round_to=multiple).stairs.ladders:
        assert ladder.levels.tolist() == [0, *fit]


@given(sizes, st.floats(0, 1), st.sampled_from([attention, grouped]))
@settings(max_examples=25, deadline=None)
def test_where_both_roles_are_open_they_keep_the_cap_together(size, cap, build):
    plan = ranked(build(*size), cap_all=cap, sparsity=0.99).cut()
    assert all(lost(plan, name) <= cap + 1e-6 for name in plan.layer_shapes)


def test_a_cap_of_half_lets_half_of_the_heads_go():
    ranking = ranked(attention(8, 8), units=["heads"], cap_all=0.5, sparsity=0.5)
    assert ranking.cut().removed == 8 and not [said for said in ranking.cut().limits if "asked for" in said]
    assert ranked(attention(8, 8), units=["heads"], round_to=8, sparsity=0.5).cut().removed == 8
