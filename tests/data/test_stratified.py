"""Stratified choices: exact, nested, and the same everywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunekit.data.stratified import held_out, stratified

labelled = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array)
seeds = st.integers(0, 2**20)


@given(labelled, st.integers(1, 250), seeds)
def test_each_class_keeps_its_share_to_within_one(labels, n, seed):
    chosen = stratified(labels, n, seed)
    n = min(n, labels.size)
    assert chosen.size == n == np.unique(chosen).size
    assert np.all(np.diff(chosen) > 0) and chosen.min() >= 0 and chosen.max() < labels.size
    for c in np.unique(labels):
        share = n * np.mean(labels == c)
        assert abs(np.sum(labels[chosen] == c) - share) < 1


@given(labelled, st.integers(0, 250), seeds)
def test_what_is_held_out_and_what_is_kept_make_the_whole(labels, n, seed):
    kept, out = held_out(labels, n, seed)
    assert np.array_equal(np.sort(np.concatenate([kept, out])), np.arange(labels.size))


@given(labelled, st.integers(1, 100), st.integers(1, 100), seeds)
def test_within_a_class_a_smaller_choice_is_part_of_a_larger_one(labels, a, b, seed):
    small, large = (stratified(labels, n, seed) for n in sorted((a, b)))
    for c in np.unique(labels):
        one, other = (set(chosen[labels[chosen] == c]) for chosen in (small, large))
        assert one <= other or other <= one


@given(st.lists(st.integers(2, 30), min_size=1, max_size=5), st.integers(1, 60), st.randoms())
def test_the_order_of_the_classes_among_each_other_does_not_matter(counts, n, random):
    ordered = np.repeat(np.arange(len(counts)), counts)
    mixed = list(ordered)
    random.shuffle(mixed)
    mixed = np.array(mixed)

    def ranks(labels):
        chosen = set(stratified(labels, n).tolist())
        return {c: [rank for rank, i in enumerate(np.flatnonzero(labels == c)) if i in chosen] for c in range(len(counts))}

    assert ranks(ordered) == ranks(mixed)


def test_the_choice_is_the_same_on_every_machine():
    # from SplitMix64's published sequence for seed 0: 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC
    assert stratified(np.zeros(4), 1).tolist() == [2]
    assert stratified(np.zeros(4), 2).tolist() == [1, 2]
    assert stratified(np.zeros(4), 3).tolist() == [0, 1, 2]


def test_another_seed_is_another_choice():
    labels = np.zeros(1000)
    overlap = np.intersect1d(stratified(labels, 100, 0), stratified(labels, 100, 1)).size
    assert overlap < 30
