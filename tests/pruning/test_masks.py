"""Unstructured masks: exact counts, ties by index, and torch's own pruning as the oracle."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunekit.config.choices import NEEDS_DATA, WEIGHT_CRITERIA
from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError, PruningError
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from prunekit.pruning.execution import emptied
from prunekit.pruning.unstructured.masks import Ranking, masked_copy, masks_at
from tests.pruning.drawn import fill, fractions, gone, layers, mlps, sizes_of, slowest_cut, zeros_of

SCOPES = ("global", "uniform", "erk", "row")
DATA_FREE = [name for name in WEIGHT_CRITERIA if name not in NEEDS_DATA]


def oracle(scores, count):
    """Indices of the lowest scores, ties by index: a stable sort, written out."""
    keep = np.ones(scores.size, bool)
    keep[np.argsort(scores, kind="stable")[:count]] = False
    return keep


@given(mlps(), fractions, st.sampled_from(DATA_FREE), st.integers(0, 9))
def test_global_cut_is_the_stable_sort_of_all_weights(net, sparsity, criterion, seed):
    spec = PruneSpec(sparsity=sparsity, criterion=criterion, seed=seed)
    ranking = Ranking.of(net, spec)
    masks = ranking.masks(ranking.cut())
    flat = np.concatenate([m.numpy().ravel() for m in masks.values()])
    scores = np.concatenate(list(ranking.scores.values()))
    assert (flat == oracle(scores, round(sparsity * scores.size))).all()
    assert ranking.removed(ranking.cut()) == gone(masks)


@given(mlps(), fractions)
def test_uniform_cut_is_the_stable_sort_of_each_layer(net, sparsity):
    ranking = Ranking.of(net, PruneSpec(sparsity=sparsity, scope="uniform"))
    for name, mask in ranking.masks(ranking.cut()).items():
        scores = weight_of(net, name).abs().flatten().numpy()
        assert (mask.numpy().ravel() == oracle(scores, round(sparsity * scores.size))).all()


@given(mlps(), fractions, fractions, st.sampled_from(["global", "uniform"]))
def test_masks_only_grow_with_sparsity(net, a, b, scope):
    low, high = sorted((a, b))
    first, second = masks_at(net, PruneSpec(scope=scope), [low, high])
    assert all(bool((~first[name] <= ~second[name]).all()) for name in first)


@given(mlps(), st.floats(0, 6), st.sampled_from(["l1", "l2"]))
def test_threshold_removes_what_scores_below_it(net, threshold, criterion):
    result = prune(net, PruneSpec(threshold=threshold, criterion=criterion), input_shape=(net[0].in_features,))
    power = 1 if criterion == "l1" else 2
    for name, mask in result.masks.items():
        scores = weight_of(net, name).abs() ** power
        assert bool((mask == (scores >= torch.tensor(threshold, dtype=torch.float32))).all())


@given(mlps(), st.data())
def test_overrides_are_fixed_and_the_rest_makes_up_the_total(net, data):
    layers = prunable_layers(net)
    fixed = data.draw(st.dictionaries(st.sampled_from(layers), fractions, max_size=len(layers) - 1))
    sparsity = data.draw(fractions)
    sizes = {name: weight_of(net, name).numel() for name in layers}
    taken = sum(round(share * sizes[name]) for name, share in fixed.items())
    wanted, free = round(sparsity * sum(sizes.values())), sum(size for name, size in sizes.items() if name not in fixed)
    spec = PruneSpec(sparsity=sparsity, overrides=fixed)
    if not 0 <= wanted - taken <= free:
        with pytest.raises(PruningError, match="sparsity"):
            Ranking.of(net, spec).cut()
        return
    ranking = Ranking.of(net, spec)
    counts = gone(ranking.masks(ranking.cut()))
    assert sum(counts.values()) == wanted
    assert all(counts[name] == round(share * sizes[name]) for name, share in fixed.items())


@given(st.integers(0, 2**31), st.floats(0.01, 0.99))
def test_same_masks_as_torch_where_no_scores_tie(seed, sparsity):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(128, 20))
    theirs = copy.deepcopy(net)
    torch_prune.global_unstructured([(theirs[0], "weight"), (theirs[2], "weight")], torch_prune.L1Unstructured, amount=sparsity)
    ours = next(masks_at(net, PruneSpec(), [sparsity]))
    assert bool((ours["0"] == theirs[0].weight_mask.bool()).all()) and bool((ours["2"] == theirs[2].weight_mask.bool()).all())
    theirs = copy.deepcopy(net)
    for layer in (theirs[0], theirs[2]):
        torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
    ours = next(masks_at(net, PruneSpec(scope="uniform"), [sparsity]))
    assert bool((ours["0"] == theirs[0].weight_mask.bool()).all()) and bool((ours["2"] == theirs[2].weight_mask.bool()).all())


def test_37_percent_of_a_thousand_is_370_whatever_the_ties():
    net = nn.Sequential(nn.Linear(100, 10, bias=False))
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    result = prune(net, PruneSpec(sparsity=0.37))
    assert result.achieved.removed == 370 and result.achieved.total == 1000
    assert bool((~result.masks["0"].flatten()[:370]).all()) and bool(result.masks["0"].flatten()[370:].all())
    assert result.after.sparsity == 0.37 and result.after.nonzero == 630


@given(mlps(), fractions, st.sampled_from(["l1", "random"]))
def test_the_dense_model_is_never_touched(net, sparsity, criterion):
    before = state_hash(net)
    result = prune(net, PruneSpec(sparsity=sparsity, criterion=criterion), input_shape=(net[0].in_features,))
    masked_copy(net, result.masks)
    assert state_hash(net) == before


def test_random_depends_on_seed_and_name_only():
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
    both = next(masks_at(net, PruneSpec(criterion="random", scope="uniform", seed=1), [0.5]))
    alone = next(masks_at(net, PruneSpec(criterion="random", scope="uniform", seed=1, layers=("1",)), [0.5]))
    other = next(masks_at(net, PruneSpec(criterion="random", scope="uniform", seed=2), [0.5]))
    assert bool((both["1"] == alone["1"]).all()) and not bool((both["1"] == other["1"]).all())


def test_an_emptied_layer_is_said():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.no_grad():
        net[0].weight.fill_(1e-3)
        net[1].weight.fill_(1.0)
    result = prune(net, PruneSpec(sparsity=0.5), input_shape=(4,))
    assert any("0 lost all its weights" in said for said in result.limits)
    both = emptied({"a": 4, "b": 4, "c": 4}, {"a": 4, "b": 3, "c": 4})
    assert both == ("2 layers lost all their weights (a and c): the output no longer depends on what enters them",)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad):
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.no_grad():
        net[1].weight[2, 3] = bad
    for mode in ("unstructured", "structured"):
        with pytest.raises(ModelError, match="layer 1 holds NaN"):
            prune(net, PruneSpec(mode=mode, layers=("0", "1")), input_shape=(4,))


def test_unknown_layers_and_a_model_without_layers():
    net = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(PruningError, match=r"no prunable layer named nope.*are 0"):
        prune(net, PruneSpec(layers=("nope",)), input_shape=(4,))
    with pytest.raises(PruningError, match="no prunable layer named gone"):
        prune(net, PruneSpec(overrides={"gone": 0.5}), input_shape=(4,))
    with pytest.raises(PruningError, match="nothing to prune"):
        prune(nn.Sequential(nn.ReLU()), PruneSpec(), input_shape=(4,))
    with pytest.raises(PruningError, match="unstructured"):
        next(masks_at(net, PruneSpec(mode="structured"), [0.5]))
    with pytest.raises(PruningError, match=r"the pattern 1:4 has one sparsity, 0\.75"):
        next(masks_at(net, PruneSpec(mode="nm", pattern="1:4"), [0.75]))
    with pytest.raises(PruningError, match="Ranking ranks mode 'unstructured'"):
        Ranking.of(net, PruneSpec(mode="nm"))


amounts = st.one_of(
    st.builds(dict, sparsity=fractions, scope=st.sampled_from(SCOPES)),
    st.builds(dict, threshold=st.floats(0, 6), scope=st.sampled_from(["global", "uniform"])),
)


@given(layers(zeros=True), amounts, st.sampled_from(DATA_FREE))
def test_what_is_zero_already_always_goes_and_counts(net, amount, criterion):
    spec = PruneSpec(criterion=criterion, **amount)
    ranking = Ranking.of(net, spec)
    masks = ranking.masks(ranking.cut())
    assert all(not bool((mask & (weight_of(net, name) == 0)).any()) for name, mask in masks.items())
    assert ranking.removed(ranking.cut()) == gone(masks)
    if spec.sparsity is not None:
        sizes, zeros = sizes_of(net), zeros_of(net)
        asked, counts = round(spec.sparsity * sum(sizes.values())), gone(masks)
        shares = {name: round(spec.sparsity * size) for name, size in sizes.items()}
        unbound = asked >= sum(zeros.values()) and all(shares[name] >= zeros[name] for name in sizes)
        assert sum(counts.values()) == (
            sum(shares.values()) if spec.scope in ("uniform", "row") and unbound else max(asked, sum(zeros.values()))
        )


@given(layers(zeros=True), fractions, st.sampled_from(DATA_FREE))
def test_a_global_cut_of_a_net_with_zeros_takes_them_first(net, sparsity, criterion):
    ranking = Ranking.of(net, PruneSpec(sparsity=sparsity, criterion=criterion))
    total = max(round(sparsity * sum(sizes_of(net).values())), sum(zeros_of(net).values()))
    slow = slowest_cut(ranking.scores.values(), total, list(sizes_of(net).values()))
    masks = ranking.masks(ranking.cut())
    assert all((mask.numpy().ravel() == keep).all() for mask, keep in zip(masks.values(), slow, strict=True))


@given(layers(), amounts, amounts, st.sampled_from(DATA_FREE), st.sampled_from(DATA_FREE))
def test_cutting_a_pruned_model_further_only_removes_more(net, first, then, one, other):
    before = next(iter(_masks(net, PruneSpec(criterion=one, **first))))
    pruned = masked_copy(net, before)
    after = next(iter(_masks(pruned, PruneSpec(criterion=other, **then))))
    assert all(bool((after[name] <= mask).all()) for name, mask in before.items())


def _masks(net, spec):
    ranking = Ranking.of(net, spec)
    yield ranking.masks(ranking.cut())


@given(layers(zeros=True), st.data())
def test_overrides_of_layers_with_zeros_remove_no_fewer_than_those(net, data):
    name = data.draw(st.sampled_from(prunable_layers(net)))
    share = data.draw(fractions)
    zeros, size = zeros_of(net), sizes_of(net)[name]
    ranking = Ranking.of(net, PruneSpec(sparsity=data.draw(fractions), overrides={name: share}, scope=data.draw(st.sampled_from(SCOPES))))
    try:
        masks = ranking.masks(ranking.cut())
    except PruningError:
        return  # the override alone makes the total impossible: tested above
    assert gone(masks)[name] == max(round(share * size), zeros[name])
    assert all(count >= zeros[layer] for layer, count in gone(masks).items())
    assert ranking.removed(ranking.cut()) == gone(masks)


def test_a_layer_that_is_zero_throughout_costs_the_others_nothing():
    net = fill(nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10)), 0, 1000)
    nn.init.zeros_(net[1].weight)
    for scope in SCOPES:
        result = prune(net, PruneSpec(sparsity=0.3, scope=scope), input_shape=(10,))
        assert gone(result.masks) == {"0": 0, "1": 100}
        assert Ranking.of(net, result.spec).limits(result.spec) == (
            "60 of 200 weights were asked for, 100 go: 100 are zero already and stay so",
        )


@pytest.mark.parametrize("scope", SCOPES)
def test_a_layer_with_more_zeros_than_its_share_leaves_less_to_the_others(scope):
    net = fill(nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10)), 0, 1000)
    with torch.no_grad():
        net[0].weight[:9] = 0
    ranking = Ranking.of(net, PruneSpec(sparsity=0.5, scope=scope))
    counts = ranking.removed(ranking.cut())
    assert counts["0"] >= 90 and sum(counts.values()) == 100
    assert not ranking.limits(ranking.spec)


def test_scores_beyond_all_bounds_are_still_counted():
    net = nn.Sequential(nn.Linear(4, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1e30, 1.0, 2e30, 3e30]]))  # squared: infinite
    ranking = Ranking.of(net, PruneSpec(criterion="l2"))
    for sparsity, count in ((0.25, 1), (0.75, 3), (0.9, 4)):
        cut = ranking.cut(sparsity)
        assert gone(ranking.masks(cut)) == ranking.removed(cut) == {"0": count}
