"""One cut without a sorted copy of all weights: the same masks, to the bit, as a stable sort gives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import weight_of
from prunekit.pruning.api import prune
from prunekit.pruning.result import PackedMasks
from prunekit.pruning.unstructured import cut_rules, masks
from prunekit.pruning.unstructured.masks import Ranking, masked_copy
from prunekit.pruning.unstructured.n_m import rank
from prunekit.pruning.unstructured.sorted_scores import Order, guess, within
from tests.pruning.drawn import fractions, mlps


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    """Let the few weights of a test go through what a large model goes through: a sample, a stretch, small pieces."""
    monkeypatch.setattr(masks, "LARGE", 0)
    monkeypatch.setattr(masks, "SAMPLE", 8)
    monkeypatch.setattr(cut_rules, "PIECE", 5)


specs = st.builds(
    lambda sparsity, criterion, scope, cap, seed: PruneSpec(sparsity=sparsity, criterion=criterion, scope=scope, cap_all=cap, seed=seed),
    fractions, st.sampled_from(["l1", "l2", "lamp", "random"]), st.sampled_from(["global", "uniform", "erk"]),
    st.sampled_from([None, 0.5, 0.9]), st.integers(0, 3),
)  # fmt: skip


def both(net, spec):
    """Return the masks of one cut and of a ranking for many; None where the cut is out of reach."""
    once, many = Ranking.of(net, spec, once=True), Ranking.of(net, spec)
    try:
        expected = many.masks(many.cut())
    except PruningError:
        with pytest.raises(PruningError):
            once.cut()
        return None
    cut = once.cut()
    assert once.removed(cut) == many.removed(many.cut()) and once.limits(spec) == many.limits(spec)
    return once.masks(cut), expected


@given(mlps(), specs)
def test_one_cut_gives_the_masks_of_many(net, spec):
    found = both(net, spec)
    if found is not None:
        one, many = found
        assert list(one) == list(many) and all(torch.equal(one[name], many[name]) for name in many)


@given(mlps(), fractions, st.sampled_from(["l1", "l2"]))
def test_one_global_cut_is_the_stable_sort_of_all_weights(net, sparsity, criterion):
    spec = PruneSpec(sparsity=sparsity, criterion=criterion)
    ranking = Ranking.of(net, spec, once=True)
    flat = torch.cat([mask.reshape(-1) for mask in ranking.masks(ranking.cut()).values()]).numpy()
    weights = torch.cat([weight_of(net, name).detach().reshape(-1) for name in ranking.shapes]).abs().numpy()
    scores = np.where(weights == 0, -1, weights if criterion == "l1" else weights * weights)
    expected = np.ones(scores.size, bool)
    expected[np.argsort(scores, kind="stable")[: max(round(sparsity * scores.size), int((weights == 0).sum()))]] = False
    assert (flat == expected).all()


@given(mlps(), st.floats(0, 3))
def test_a_threshold_cuts_the_same_way(net, threshold):
    one, many = both(net, PruneSpec(threshold=threshold, cap_all=0.8))
    assert all(torch.equal(one[name], many[name]) for name in many)


def test_a_guess_that_misses_costs_time_alone(monkeypatch):
    monkeypatch.setattr(masks, "guess", lambda sample, share, reach: (np.float32(50), np.float32(60)))
    one, many = both(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 5)), PruneSpec(sparsity=0.3))
    assert all(torch.equal(one[name], many[name]) for name in many)


@given(mlps(), fractions)
def test_a_pattern_and_a_pruned_model_are_the_same_too(net, sparsity):
    spec = PruneSpec(mode="nm", pattern="1:2")
    try:
        many = rank(net, spec)
    except PruningError:
        return
    once = rank(net, spec, once=True)
    assert all(torch.equal(a, b) for a, b in zip(once.masks(once.cut()).values(), many.masks(many.cut()).values(), strict=True))
    result = prune(net, PruneSpec(sparsity=sparsity), input_shape=(net[0].in_features,))
    expected = masked_copy(net, dict(result.masks)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in result.model.state_dict().items())


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, float("inf")]), min_size=1, max_size=40), st.data())
def test_a_stretch_answers_as_the_whole_order_does(scores, data):
    scores = np.array(scores, dtype=np.float32)
    low, high = sorted((data.draw(st.sampled_from(list(scores))), data.draw(st.sampled_from(list(scores)))))
    whole, part = Order.whole(scores), within([scores[:7], scores[7:]], low, high)
    for count in range(scores.size + 1):
        if part.holds(count) and count:
            assert part.lowest(count)[1] >= 0
            keeps = [cut_rules.LayerCut(*order.lowest(count)).keep([scores], scores.shape) for order in (whole, part)]
            assert (keeps[0] == keeps[1]).all() and (~keeps[0]).sum() == count
    most = data.draw(st.integers(0, scores.size))
    assert part.first(most).below + part.first(most).values.size <= max(most, 0)
    assert whole.first(most).values.tolist() == np.sort(scores)[:most].tolist()


def test_a_guess_holds_the_quantile():
    noise = np.random.default_rng(0)
    scores = np.sort(noise.random(200_000, dtype=np.float32))
    for share in (0.0, 0.001, 0.5, 0.999, 1.0):
        low, high = guess(np.sort(noise.choice(scores, 4096)), share)
        assert low <= scores[min(int(share * scores.size), scores.size - 1)] <= high
    low, high = guess(np.sort(noise.choice(scores, 4096)), 0.5)
    assert high - low < 0.2


def test_packed_masks_are_the_masks():
    masks_of = {name: torch.rand(shape) > 0.5 for name, shape in (("a", (3, 5)), ("b", (2, 3, 3, 3)), ("c", (0, 4)))}
    packed = PackedMasks(masks_of.items())
    assert list(packed) == list(masks_of) and all(torch.equal(packed[name], mask) for name, mask in masks_of.items())
    assert packed.removed == {name: int((~mask).sum()) for name, mask in masks_of.items()} and packed.total == 69
