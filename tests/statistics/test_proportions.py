"""Wilson against scipy, the paired difference by simulation, and that its interval and its test agree."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from prunekit.errors import DataError, PrunekitError
from prunekit.statistics.proportions import _bonett_price, difference_interval, paired_proportions, wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    k, n = case
    reference = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert 0 <= wilson(k, n)[0] <= k / n <= wilson(k, n)[1] <= 1


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(PrunekitError, match="0 <= k <= n"):
        wilson(k, n)


def test_wilson_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    for truth in (0.5, 0.9, 0.98):
        hits = [low <= truth <= high for low, high in (wilson(int(k), 200) for k in rng.binomial(200, truth, 4000))]
        assert 0.93 < np.mean(hits) < 0.975


def brute_force_mcnemar(lost: int, gained: int) -> float:
    """Sum the probability of every split of the discordant pairs that is at most as likely as the one seen."""
    changed = lost + gained
    ways = [comb(changed, k) for k in range(changed + 1)]
    return sum(way for way in ways if way <= ways[gained]) / 2**changed


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


@pytest.mark.parametrize(("a", "b"), [([True], [True, False]), ([], []), ([[True]], [[True]])])
def test_what_does_not_pair_is_refused(a: list[bool], b: list[bool]) -> None:
    with pytest.raises(DataError, match="same samples"):
        paired_proportions(a, b)
