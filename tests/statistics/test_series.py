"""Series: how much their values tell, and the interval of the median."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, t

from prunekit.statistics.series import DEGREES, STUDENT, independent_values, median_interval


def test_values_that_are_like_their_neighbours_tell_less() -> None:
    rng = np.random.default_rng(4)
    assert np.mean([independent_values(rng.standard_normal(100)) for _ in range(200)]) > 85
    assert 1 <= independent_values(np.arange(100.0)) < 10
    assert independent_values(np.ones(50)) >= 1 and independent_values(np.ones(1)) == 1
    assert independent_values(np.tile([1.0, 2.0], 20)) == 40, "what goes to and fro is no trend"


def test_the_table_is_that_of_students_t() -> None:
    assert np.allclose(STUDENT, t.ppf(0.975, DEGREES), atol=6e-4)


@pytest.mark.parametrize("n", [40, 200])
def test_of_many_independent_values_the_ends_are_those_of_the_sign_test(n: int) -> None:
    series = np.random.default_rng(5).permutation(n).astype(float)
    independent = independent_values(series)
    low, high = median_interval(series)
    exact = binom.ppf(0.025, n, 0.5) * np.sqrt(n / independent) + (1 - np.sqrt(n / independent)) * n / 2
    assert abs(low - exact) < 2 and abs(high - (n - 1 - exact)) < 2


@pytest.mark.parametrize("n", range(1, 8))
def test_few_values_span_at_least_their_range(n: int) -> None:
    series = np.random.default_rng(n).standard_normal(n)
    low, high = median_interval(series)
    assert low <= np.median(series) <= high
    assert n > 5 or (low <= series.min() and high >= series.max())
    assert n > 1 or low == high
