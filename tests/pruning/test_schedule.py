"""Schedules against their formulas, and masks that only ever grow."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError, SpecError
from prunekit.models.state import state_hash
from prunekit.pruning.schedule import SCHEDULES, agp, iterative, linear, tighten
from prunekit.pruning.unstructured.masks import Ranking, masked_copy, masks_at
from tests.pruning.drawn import fractions, gone, layers, sizes_of, zeros_of
from tests.tables import case


@given(st.sampled_from(list(SCHEDULES)), fractions, fractions, st.integers(1, 200))
def test_schedules_never_fall_and_end_exactly(name, a, b, steps):
    start, final = sorted((a, b))
    found = SCHEDULES[name](final, steps, start)
    assert len(found) == steps and found[-1] == final
    assert all(earlier <= later for earlier, later in pairwise((start, *found)))


@given(fractions, fractions, st.integers(1, 50))
def test_schedules_are_their_formulas(a, b, steps):
    start, final = sorted((a, b))
    for t, (cubic, same_share, even) in enumerate(
        zip(agp(final, steps, start), iterative(final, steps, start), linear(final, steps, start), strict=True), 1
    ):
        assert cubic == pytest.approx(final + (start - final) * (1 - t / steps) ** 3)
        assert even == pytest.approx(start + t * (final - start) / steps)
        assert 1 - same_share == pytest.approx((1 - start) * ((1 - final) / (1 - start)) ** (t / steps))


@given(fractions, st.integers(2, 30))
def test_each_iterative_step_removes_the_same_share_of_what_is_left(final, steps):
    found = (0.0, *iterative(final, steps))
    shares = [(later - earlier) / (1 - earlier) for earlier, later in pairwise(found)]
    assert shares == pytest.approx([shares[0]] * steps, abs=1e-9)


def test_bad_schedules_are_named():
    for schedule in SCHEDULES.values():
        for args, field in [
            ((1.0, 3), "final"),
            ((-0.1, 3), "final"),
            ((float("nan"), 3), "final"),
            ((0.5, 0), "steps"),
            ((0.5, 2.5), "steps"),
            ((0.5, True), "steps"),
            ((0.5, 3, 0.6), "start must be at most final"),
            ((0.5, 3, -0.1), "start"),
            (("half", 3), "final"),
        ]:
            with case(schedule, args, field), pytest.raises(SpecError, match=field):
                schedule(*args)


@given(layers(zeros=True), st.lists(fractions, min_size=2, max_size=4), st.sampled_from(["global", "uniform", "erk"]), st.data())
def test_tightened_masks_only_shrink_and_reach_each_total(net, sparsities, scope, data):
    spec = PruneSpec(scope=scope, criterion=data.draw(st.sampled_from(["l1", "l2", "random", "lamp"])))
    before, total, zeros = state_hash(net), sum(sizes_of(net).values()), sum(zeros_of(net).values())
    steps = list(tighten(net, spec, sparsities))
    assert all(bool((later[name] <= earlier[name]).all()) for earlier, later in pairwise(steps) for name in earlier)
    reached = zeros
    for sparsity, masks in zip(sparsities, steps, strict=True):
        counts = sum(gone(masks).values())
        if scope == "uniform":  # where nothing is in the way each layer's share is rounded by itself
            assert counts >= reached and abs(counts - max(round(sparsity * total), reached)) <= len(masks)
        else:
            assert counts == max(round(sparsity * total), reached)
        reached = counts
    assert state_hash(net) == before


def test_tightening_scores_again_what_is_left(digits):
    model, data = digits
    spec = PruneSpec(criterion="taylor", samples=64)
    expected, working = [], model
    for sparsity in (0.5, 0.8):
        ranking = Ranking.of(working, spec, data)
        expected.append(ranking.masks(ranking.cut(sparsity)))
        working = masked_copy(working, expected[-1])
    seen, once = list(tighten(model, spec, (0.5, 0.8), data)), list(masks_at(model, spec, (0.5, 0.8), data))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(expected, seen, strict=True) for name in a)
    assert all(torch.equal(seen[0][name], once[0][name]) for name in once[0])
    assert not all(torch.equal(seen[1][name], once[1][name]) for name in once[1])


@pytest.fixture(scope="module")
def digits():
    return prunekit.load_model("digits_mlp"), prunekit.load_data("digits")


@given(layers(), st.lists(fractions, min_size=1, max_size=3).map(sorted), st.sampled_from(["l1", "l2", "random", "lamp"]))
def test_where_scores_do_not_change_tightening_is_cutting_once(net, sparsities, criterion):
    spec = PruneSpec(criterion=criterion)
    for stepwise, at_once in zip(tighten(net, spec, sparsities), masks_at(net, spec, sparsities), strict=True):
        assert all(torch.equal(stepwise[name], at_once[name]) for name in at_once)


def test_only_single_weights_are_tightened():
    net = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(PruningError, match="one sparsity"):
        next(tighten(net, PruneSpec(mode="nm"), [0.5]))
    with pytest.raises(PruningError, match="unstructured"):
        next(tighten(net, PruneSpec(mode="structured"), [0.5]))
