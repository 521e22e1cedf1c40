"""The paired comparison of accuracies against brute force, and how it reads."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation, accuracy_of


def pair(both: int, lost: int, gained: int, neither: int, seed: int = 0) -> tuple[Evaluation, Evaluation]:
    """Build two measurements with these counts, in a shuffled order."""
    cells = [(True, True)] * both + [(True, False)] * lost + [(False, True)] * gained + [(False, False)] * neither
    order = np.random.default_rng(seed).permutation(len(cells))
    table = np.array(cells)[order]
    return accuracy_of(table[:, 0]), accuracy_of(table[:, 1])


def brute_force_mcnemar(lost: int, gained: int) -> float:
    """Sum the probability of every split of the discordant pairs that is at most as likely as the one seen."""
    changed = lost + gained
    ways = [comb(changed, k) for k in range(changed + 1)]
    return sum(way for way in ways if way <= ways[gained]) / 2**changed


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_brute_force(both: int, lost: int, gained: int, neither: int) -> None:
    if both + lost + gained + neither == 0:
        return
    result = compare(*pair(both, lost, gained, neither))
    assert result.p_value == pytest.approx(brute_force_mcnemar(lost, gained), abs=1e-12)
    assert result.value == pytest.approx((gained - lost) / result.n)
    assert -1 <= result.low <= result.value <= result.high <= 1


def test_a_model_does_not_differ_from_itself() -> None:
    a, _ = pair(90, 10, 0, 5)
    result = compare(a, a)
    assert (result.value, result.p_value, result.significant) == (0.0, 1.0, False)
    assert result.low < 0 < result.high
    assert result.sentence() == "0.0 points, not significant"


def test_the_sentence_is_plain() -> None:
    assert compare(*pair(480, 6, 3, 11)).sentence() == "−0.6 points, not significant"
    assert compare(*pair(400, 2, 60, 38)).sentence() == "+11.6 points, significant"


def test_different_samples_are_refused() -> None:
    a, b = accuracy_of(np.ones(5, bool)), accuracy_of(np.ones(6, bool))
    with pytest.raises(DataError, match="same samples"):
        compare(a, b)
