"""N of every M: legal on any shape, the best stay, and what does not make a block is said."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from prunekit.config.choices import NEEDS_DATA, WEIGHT_CRITERIA
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError, SpecError
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.models.state import state_hash
from prunekit.pruning.unstructured.masks import Ranking, masked_copy
from prunekit.pruning.unstructured.n_m import PatternRanking, rank
from tests.pruning.drawn import fill, gone, layers, sizes_of

DATA_FREE = [name for name in WEIGHT_CRITERIA if name not in NEEDS_DATA]
patterns = st.one_of(
    st.sampled_from([(2, 4), (1, 2), (1, 4)]), st.integers(2, 13).flatmap(lambda m: st.tuples(st.integers(1, m - 1), st.just(m)))
)


def setting(pattern, **more):
    return PruneSpec(mode="nm", pattern="{}:{}".format(*pattern), **more)


def widest(net):
    return max(weight_of(net, name).shape[1] for name in prunable_layers(net))


def slow_keep(weight, scores, n, m):
    """One block after the other, by hand."""
    keep = weight.numpy() != 0
    flat_kernel = keep.reshape(*weight.shape[:2], -1)
    scores = scores.reshape(flat_kernel.shape)
    for out in range(flat_kernel.shape[0]):
        for place in range(flat_kernel.shape[2]):
            for start in range(0, weight.shape[1] - m + 1, m):
                block = sorted(range(start, start + m), key=lambda i: (scores[out, i, place], i))
                for lost in block[: m - n]:
                    flat_kernel[out, lost, place] = False
    return keep


@given(layers(zeros=True), patterns, st.sampled_from(DATA_FREE))
def test_masks_are_those_of_going_through_the_blocks_by_hand(net, pattern, criterion):
    spec = setting(pattern, criterion=criterion)
    if widest(net) < pattern[1]:
        with pytest.raises(PruningError, match=f"no chosen layer has a block of {pattern[1]} inputs"):
            rank(net, spec)
        return
    ranking = rank(net, spec)
    masks = ranking.masks(ranking.cut())
    for name, mask in masks.items():
        assert (mask.numpy() == slow_keep(weight_of(net, name), ranking.scores[name], *pattern)).all()
    assert ranking.removed(ranking.cut()) == gone(masks) and ranking.sizes == sizes_of(net)


@pytest.mark.parametrize("pattern", [(1, 16), (5, 17), (8, 32), (43, 44)])
def test_long_blocks_are_those_of_going_through_them_by_hand(pattern):
    net = fill(nn.Sequential(nn.Linear(90, 3), nn.Conv2d(70, 2, (1, 3))), 0, 5, 0.0, 0.3)
    ranking = rank(net, setting(pattern))
    for name, mask in ranking.masks(ranking.cut()).items():
        assert (mask.numpy() == slow_keep(weight_of(net, name), ranking.scores[name], *pattern)).all()


@given(layers(), patterns)
def test_of_every_whole_block_exactly_n_stay_and_all_that_is_left_over(net, pattern):
    n, m = pattern
    assume(widest(net) >= m)
    ranking = rank(net, setting(pattern))
    for name, mask in ranking.masks(ranking.cut()).items():
        scores = torch.from_numpy(ranking.scores[name]).view(mask.shape)
        whole = mask.shape[1] // m * m
        assert bool(mask[:, whole:].all())
        for start in range(0, whole, m):
            block, score = mask[:, start : start + m], scores[:, start : start + m]
            assert bool((block.sum(1) == n).all())
            kept, lost = score.masked_fill(~block, np.inf).amin(1), score.masked_fill(block, -np.inf).amax(1)
            assert bool((kept >= lost).all())


@given(layers(), patterns)
def test_a_pattern_put_on_twice_changes_nothing_more(net, pattern):
    assume(widest(net) >= pattern[1])
    before, ranking = state_hash(net), rank(net, setting(pattern))
    masks = ranking.masks(ranking.cut())
    again = rank(masked_copy(net, masks), setting(pattern))
    repeated = again.masks(again.cut())
    assert all(bool((repeated[name] == mask).all()) for name, mask in masks.items())
    assert state_hash(net) == before


def net():
    return fill(
        nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Conv2d(8, 6, 1),
            nn.Conv2d(6, 5, 1),
            nn.Linear(9, 4),
            nn.Linear(3, 2),
        ),
        0,
        1000,
    )


def test_what_makes_no_block_is_said_with_name_and_count():
    spec = setting((2, 4))
    ranking = rank(net(), spec)
    assert ranking.limits(spec) == (
        "0, 1: 1 input does not make a block of 4: it stays whole",
        "3: the last 2 inputs of 6 do not make a block of 4: they stay whole",
        "4: the last input of 9 does not make a block of 4: it stays whole",
        "5: 3 inputs do not make a block of 4: they stay whole",
    )
    assert ranking.requested(spec) == {"0": None, "1": None, "2": 0.5, "3": 0.5, "4": 0.5, "5": None}
    assert ranking.removed(ranking.cut()) == {"0": 0, "1": 0, "2": 24, "3": 10, "4": 16, "5": 0}


def test_a_model_without_a_whole_block_is_refused():
    with pytest.raises(PruningError, match=r"no chosen layer has a block of 4 inputs \(0 and 1 have 1 input; 5 has 3 inputs\)"):
        rank(net(), setting((2, 4), layers=("0", "1", "5")))


def test_a_pattern_has_one_sparsity():
    ranking = rank(net(), setting((1, 4)))
    assert ranking.removed(ranking.cut(0.75)) == ranking.removed(ranking.cut())
    with pytest.raises(SpecError, match="contradicts the pattern 1:4"):
        ranking.cut(0.5)


def test_the_mode_says_which_ranking_serves():
    assert isinstance(rank(net(), PruneSpec()), Ranking) and isinstance(rank(net(), setting((1, 2))), PatternRanking)
    with pytest.raises(PruningError, match="ranks channels"):
        rank(net(), PruneSpec(mode="structured"))
    with pytest.raises(PruningError, match="PatternRanking ranks mode 'nm'"):
        PatternRanking.of(net(), PruneSpec())


class InputsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.own = nn.ConvTranspose1d(6, 5, 3), Conv1D()

    def forward(self, x):
        return self.own(self.up(x))


class Conv1D(nn.Module):
    """GPT-2's linear layer, of [in, out]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, 7))

    def forward(self, x):
        return x @ self.weight


def test_blocks_lie_along_the_inputs_where_a_layer_stores_them_first():
    masks = PatternRanking.of(InputsFirst(), setting((2, 4))).masks(PatternRanking.of(InputsFirst(), setting((2, 4))).cut())
    assert (masks["up"][:4].sum(0) == 2).all() and masks["up"][4:].all()
    assert (masks["own"][:8].unflatten(0, (2, 4)).sum(1) == 2).all() and masks["own"][8:].all()
