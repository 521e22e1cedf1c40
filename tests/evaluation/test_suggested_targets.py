"""Targets are as good as trying everything, never beyond what was measured, and met by count."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.evaluation.sensitivity.drop_curves import drop_curve, drop_curves, fragile
from prunekit.evaluation.sensitivity.isolated_pruning import alone
from prunekit.evaluation.sensitivity.layer_targets import counter, least_for, most_within, together
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.evaluation.sensitivity.result import LayerSensitivity, Sensitivity, SensitivityPoint
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.models.cost import count
from prunekit.pruning.api import prune
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from tests.evaluation.test_sensitivity import SHAPE, Net, data
from tests.transformers import SHAPE as TOKENS
from tests.transformers import build

IMAGES = 1000
GRID = [0.1, 0.3, 0.5, 0.7, 0.9]


def right(share: float) -> Evaluation:
    return accuracy_of(np.arange(IMAGES) < round(share * IMAGES))


def layer(name: str, values: list[float], params: int = 1000, macs: int = 5000) -> LayerSensitivity:
    points = (
        SensitivityPoint(s, s, right(v), round(s * params), round(s * params), round(s * macs))
        for s, v in zip(GRID, values, strict=True)
    )  # fmt: skip
    return LayerSensitivity(name, (name,), params, macs, tuple(points))


def table(*layers: LayerSensitivity, dense: float = 0.9) -> Sensitivity:
    return Sensitivity("unstructured", "l1", "validation", IMAGES, IMAGES, right(dense), layers)


def totals(found: Sensitivity) -> tuple[int, int]:
    return sum(x.params for x in found.layers), sum(x.macs for x in found.layers)


options = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=1, max_size=4), min_size=1, max_size=4
)  # fmt: skip


def columns(drawn: list[list[tuple[int, int]]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Costs and savings of each layer, both rising, from nothing."""
    drops = [np.cumsum([0, *(d for d, _ in row)]) / 1000 for row in drawn]
    gains = [np.cumsum([0, *(g for _, g in row)]).astype(float) for row in drawn]
    return drops, gains


@given(options, st.integers(0, 80))
def test_no_choice_saves_more_within_an_allowed_drop(drawn: list[list[tuple[int, int]]], allowed: int) -> None:
    drops, gains = columns(drawn)
    picked = most_within(drops, gains, allowed / 1000)
    assert sum(d[k] for d, k in zip(drops, picked, strict=True)) <= allowed / 1000 + 1e-9
    everything = product(*(range(len(d)) for d in drops))
    # costs are rounded up to a 4,000th: what is exactly allowed to a hair counts as allowed
    best = max(
        sum(g[k] for g, k in zip(gains, choice, strict=True))
        for choice in everything
        if sum(d[k] for d, k in zip(drops, choice, strict=True)) <= allowed / 1000 * (1 - 4 / 4000)
        or all(d[k] == 0 for d, k in zip(drops, choice, strict=True))
    )
    assert sum(g[k] for g, k in zip(gains, picked, strict=True)) >= best


@given(options, st.floats(0.01, 1))
def test_no_choice_meets_a_goal_at_a_smaller_drop(drawn: list[list[tuple[int, int]]], share: float) -> None:
    drops, gains = columns(drawn)
    goal = share * sum(g[-1] for g in gains)
    picked = least_for(drops, gains, goal)
    assert sum(g[k] for g, k in zip(gains, picked, strict=True)) >= goal * (1 - 1e-6)
    everything = product(*(range(len(d)) for d in drops))
    enough = [c for c in everything if sum(g[k] for g, k in zip(gains, c, strict=True)) >= goal * (1 + 4 / 4000)]
    if enough:  # savings are rounded down to a 4,000th
        best = min(sum(d[k] for d, k in zip(drops, choice, strict=True)) for choice in enough)
        assert sum(d[k] for d, k in zip(drops, picked, strict=True)) <= best + 1e-9


curves = st.lists(st.lists(st.floats(0.1, 1), min_size=5, max_size=5), min_size=1, max_size=5)


@given(curves, st.floats(0, 0.3))
def test_targets_stay_within_the_allowed_drop_and_within_what_was_measured(drawn: list[list[float]], drop: float) -> None:
    found = table(*(layer(f"l{i}", values) for i, values in enumerate(drawn)))
    given_ = suggest(found, drop=drop, totals=totals(found))
    assert [t.name for t in given_.targets] == [x.name for x in found.layers]
    assert given_.drop == pytest.approx(sum(t.drop for t in given_.targets))
    assert given_.drop <= drop + 1e-9
    for target, curve in zip(given_.targets, drop_curves(found), strict=True):
        assert 0 <= target.sparsity <= 0.9
        assert target.drop == pytest.approx(np.interp(target.sparsity, curve.sparsities, curve.drops))
        assert target.reason
    more = suggest(found, drop=min(drop + 0.05, 0.9), totals=totals(found))
    assert more.params >= given_.params - 1e-9


@given(st.lists(st.floats(0.1, 1), min_size=5, max_size=5))
def test_what_a_layer_costs_never_falls_and_starts_at_nothing(values: list[float]) -> None:
    curve = drop_curve(layer("l", values), 0.9)
    assert curve.drops[0] == 0
    assert (np.diff(curve.drops) >= 0).all()
    assert (curve.drops <= max(0.9 - min(values), 0) + 0.001).all()
    falling = sorted(values, reverse=True)
    exact = drop_curve(layer("l", falling), 0.9)
    assert np.allclose(exact.drops[1:], np.maximum(0.9 - np.round(np.array(falling) * IMAGES) / IMAGES, 0), atol=1e-4)


def test_a_lucky_point_is_no_gain() -> None:
    curve = drop_curve(layer("l", [0.88, 0.92, 0.88, 0.7, 0.3]), 0.9)
    assert curve.drops[2] == pytest.approx(curve.drops[1])
    assert curve.drops[1] == pytest.approx(0.0, abs=1e-9)


def test_the_layer_that_costs_nothing_goes_first_and_each_says_why() -> None:
    found = table(layer("free", [0.9] * 5), layer("dear", [0.6, 0.5, 0.4, 0.3, 0.2]), layer("fair", [0.9, 0.89, 0.88, 0.8, 0.5]))
    targets = {t.name: t for t in suggest(found, drop=0.02, totals=totals(found)).targets}
    assert targets["free"].sparsity == 0.9
    assert "most that was measured" in targets["free"].reason
    assert targets["dear"].sparsity < 0.01
    assert targets["fair"].sparsity == pytest.approx(0.5)
    assert targets["fair"].reason == "costs 2.0 points; 70 % would cost 10.0 points"
    assert targets["fair"].ahead == "70 % would cost 10.0 points"


def test_a_layer_that_stays_whole_says_what_the_first_step_would_cost() -> None:
    found = table(layer("free", [0.9] * 5), layer("dear", [0.6, 0.5, 0.4, 0.3, 0.2]))
    target = suggest(found, drop=0.0, totals=totals(found)).targets[1]
    assert target.sparsity == 0
    assert target.reason == "stays whole: 10 % would cost 30.0 points" == target.ahead


def test_what_a_target_costs_and_what_was_measured_there_both_carry_their_words() -> None:
    lucky = layer("lucky", [0.88, 0.92, 0.88, 0.7, 0.3])
    found = table(lucky)
    target = next(t for t in suggest(found, drop=0.0, totals=totals(found)).targets if t.name == "lucky")
    at = {p.sparsity: found.dense.value - p.accuracy.value for p in lucky.points}
    assert target.sparsity in at and target.measured == pytest.approx(at[target.sparsity]) != pytest.approx(target.drop)
    assert target.reason.startswith("gains 2.0 points, which counts as nothing lost")


def test_a_goal_is_met_where_it_costs_least() -> None:
    found = table(layer("free", [0.9] * 5, macs=100), layer("dear", [0.85, 0.8, 0.7, 0.6, 0.2], macs=9900))
    few = suggest(found, params=0.45, totals=totals(found))
    assert few.params == pytest.approx(0.45, abs=0.01)
    assert few.drop == 0
    many = suggest(found, macs=0.45, totals=totals(found))
    assert many.macs == pytest.approx(0.45, abs=0.01)
    assert many.drop > 0.05
    with pytest.raises(PrunekitError, match=r"at most 90\.0 %"):
        suggest(found, params=0.95, totals=totals(found))


def test_what_is_asked_must_be_clear() -> None:
    found = table(layer("l", [0.9] * 5))
    for bad in ({}, {"drop": 0.1, "params": 0.5}, {"drop": -0.1}, {"params": 0.0}, {"macs": 1.0}, {"drop": 0.1, "save": "bytes"}):
        with pytest.raises(PrunekitError):
            suggest(found, totals=totals(found), **bad)


def test_fragile_layers_stand_out_and_even_ones_do_not() -> None:
    even = [layer(f"l{i}", [0.9, 0.9, 0.89, 0.88, 0.8 - 0.01 * i]) for i in range(6)]
    assert fragile(table(*even)) == {}
    found = fragile(table(*even, layer("stem", [0.8, 0.6, 0.4, 0.2, 0.1])))
    assert list(found) == ["stem"]
    assert "48.0 points of accuracy on average" in found["stem"]
    noise = [layer(f"l{i}", [0.9, 0.9, 0.9, 0.9, 0.9 - 0.002 * (i == 0)]) for i in range(6)]
    assert fragile(table(*noise)) == {}
    assert fragile(table()) == {}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


@pytest.mark.parametrize("goal", [{"params": 0.3}, {"params": 0.6}, {"macs": 0.4}, {"macs": 0.7}, {"drop": 0.05}])
def test_a_goal_in_channels_is_met_by_count_and_by_surgery(model: nn.Module, goal: dict[str, float]) -> None:
    spec = PruneSpec(mode="structured")
    found = sensitivity(model, data(), spec)
    dense = count(model, SHAPE)
    given_ = suggest(found, **goal, totals=(dense.params, dense.macs), counter=counter(model, spec, SHAPE))
    assert given_.counted
    small = prune(model, together(found, given_.overrides, spec, model, SHAPE), input_shape=SHAPE)
    assert 1 - small.after.params / dense.params == pytest.approx(given_.params)
    assert 1 - small.after.macs / dense.macs == pytest.approx(given_.macs)
    kept = {row.name: 1 - row.sparsity for row in small.layers}
    for target, row in zip(given_.targets, found.layers, strict=True):
        assert kept[row.layers[0]] == pytest.approx(1 - target.sparsity)
    for what, share in goal.items():
        if what == "drop":
            continue
        assert getattr(given_, what) >= share
        place = ("params", "macs").index(what)
        for target, row in zip(given_.targets, found.layers, strict=True):  # no channel could have stayed
            if target.sparsity:
                less = {**given_.overrides, target.name: target.sparsity - 1 / row.size}
                assert counter(model, spec, SHAPE)(less)[place] / (dense.params, dense.macs)[place] < share


@pytest.mark.parametrize("goal", [{"params": 0.3}, {"params": 0.8}, {"macs": 0.5}])
def test_a_goal_is_met_within_two_points_where_channels_are_many(goal: dict[str, float]) -> None:
    torch.manual_seed(0)
    model, shape, spec = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7).eval(), (3, 32, 32), PruneSpec(mode="structured")
    rows = []
    for depth, row in enumerate(alone(model, spec, GRID, shape)):
        points = (
            SensitivityPoint(c.requested, c.sparsity, right(0.9 - 0.3 * c.sparsity**2 / (1 + depth)), c.removed, c.params, c.macs)
            for c in row.cuttings
        )
        rows.append(LayerSensitivity(row.name, row.layers, row.params, row.macs, tuple(points)))
    found, dense = table(*rows), count(model, shape)
    given_ = suggest(found, **goal, totals=(dense.params, dense.macs), counter=counter(model, spec, shape))
    small = prune(model, together(found, given_.overrides, spec, model, shape), input_shape=shape)
    for what, share in goal.items():
        reached = 1 - getattr(small.after, what) / getattr(dense, what)
        assert share <= reached < share + 0.02


@cache
def both_ways(name: str) -> tuple[nn.Module, ChannelGraph, Sensitivity]:
    """A network with attention, how its channels hang together, and a table of its rows."""
    model = build(name)
    rows = alone(model, PruneSpec(mode="structured"), [0.5], TOKENS)
    return model, trace(model, TOKENS), table(*(replace(layer(row.name, [0.9] * len(GRID)), layers=row.layers) for row in rows))


@pytest.mark.parametrize("name", ["encoder", "vit", "grouped"])
@given(drawn=st.data())
def test_targets_of_a_layer_that_shrinks_in_two_ways_are_one_override(name: str, drawn: st.DataObject) -> None:
    model, graph, found = both_ways(name)
    spec = PruneSpec(mode="structured")
    targets = {row.name: drawn.draw(st.sampled_from([0.0, 0.2, 0.5, 0.8])) for row in found.layers}
    assume(any(targets.values()))
    setting = together(found, targets, spec, model, TOKENS)
    ranking = ChannelRanking.of(model, setting, graph)
    plan, shares = ranking.cut(), dict(setting.overrides)
    assert plan.atoms.size == ranking.by_fixed, "nothing else is touched"
    for first, share in shares.items():
        left = np.prod([1 - targets[row.name] for row in found.layers if row.layers[0] == first])
        assert share == pytest.approx(1 - left)
    untouched = {name for row in found.layers for name in row.layers if not targets[row.name]} - {n for n in setting.layers or ()}
    assert all(len(plan.kept[name]) == len(plan.graph.outputs[name]) for name in untouched)


@pytest.mark.parametrize("goal", [{"params": 0.5}, {"macs": 0.6}, {"drop": 0.05}])
def test_targets_for_weights_are_what_pruning_by_them_gives(model: nn.Module, goal: dict[str, float]) -> None:
    found = sensitivity(model, data())
    dense = count(model, SHAPE)
    given_ = suggest(found, **goal, totals=(dense.params, dense.macs))
    done = prune(model, together(found, given_.overrides, PruneSpec(), model, SHAPE), input_shape=SHAPE)
    assert (dense.nonzero - done.after.nonzero) / dense.params == pytest.approx(given_.params, abs=0.002)
    assert 1 - done.after.effective_macs / dense.macs == pytest.approx(given_.macs, abs=0.002)
    for target, row in zip(given_.targets, done.layers, strict=True):
        assert row.sparsity == pytest.approx(target.sparsity)


def test_what_saves_nothing_more_is_not_removed():
    drops, gains = [np.array([0.0, 0.01, 0.01])], [np.array([0.0, 5.0, 5.0])]
    assert most_within(drops, gains, 0.02).tolist() == [1]
    assert least_for(drops, gains, 5.0).tolist() == [1]
    assert most_within([np.zeros(3), np.zeros(2)], [np.zeros(3), np.zeros(2)], 0.0).tolist() == [0, 0]
