"""The paired comparison against brute force, its coverage by simulation, and that its two answers agree."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError
from prunekit.evaluation.accuracy import Accuracy
from prunekit.evaluation.paired import _bonett_price, compare, difference_interval


def pair(both: int, lost: int, gained: int, neither: int, seed: int = 0) -> tuple[Accuracy, Accuracy]:
    """Build two measurements with these counts, in a shuffled order."""
    cells = [(True, True)] * both + [(True, False)] * lost + [(False, True)] * gained + [(False, False)] * neither
    order = np.random.default_rng(seed).permutation(len(cells))
    table = np.array(cells)[order]
    return Accuracy.of(table[:, 0]), Accuracy.of(table[:, 1])


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


@given(st.integers(0, 120), st.integers(0, 120), st.integers(0, 5000))
def test_significance_and_interval_agree(lost: int, gained: int, same: int) -> None:
    agree(lost, gained, same)


def test_significance_and_interval_agree_where_one_more_decides() -> None:
    for lost in range(12):
        for gained in range(lost, lost + 16):
            agree(lost, gained, 40 * lost)


def agree(lost: int, gained: int, same: int) -> None:
    """The interval leaves out zero exactly where McNemar's test is significant, and is no narrower than its formula."""
    n = lost + gained + same
    if n == 0:
        return
    low, high = difference_interval(gained, lost, n)
    p_value = brute_force_mcnemar(lost, gained)
    assert (low > 0 or high < 0) == (p_value < 0.05)
    adjusted = _bonett_price(gained, lost, n)
    assert low <= max(adjusted[0], -1)
    assert high >= min(adjusted[1], 1)


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.0, 0.02), (0.05, 0.05), (0.10, 0.02), (0.30, 0.10)])
def test_the_interval_covers_the_truth(p_lost: float, p_gained: float) -> None:
    rng = np.random.default_rng(3)
    hits, n, widths = [], 200, []
    interval = lru_cache(difference_interval)
    for lost, gained, _ in rng.multinomial(n, [p_lost, p_gained, 1 - p_lost - p_gained], 1000):
        low, high = interval(int(gained), int(lost), n)
        hits.append(low <= p_gained - p_lost <= high)
        widths.append(high - low)
    assert 0.94 <= np.mean(hits) <= 0.999
    # wide enough to cover, and not by being useless: within 40 % of the large-sample width
    ideal = 2 * 1.96 * np.sqrt((p_lost + p_gained - (p_gained - p_lost) ** 2) / n)
    assert np.mean(widths) < 1.4 * ideal


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
    a, b = Accuracy.of(np.ones(5, bool)), Accuracy.of(np.ones(6, bool))
    with pytest.raises(DataError, match="same samples"):
        compare(a, b)
