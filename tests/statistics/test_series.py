"""Series: how long blocks are, and the interval of the median."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunekit.statistics.series import block_length, median_interval


def test_independent_values_are_resampled_singly() -> None:
    rng = np.random.default_rng(4)
    assert np.mean([block_length(rng.standard_normal(100)) == 1 for _ in range(200)]) > 0.9
    assert block_length(np.ones(50)) >= 1
    assert block_length(np.arange(100.0)) <= 25


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 10**6))
def test_the_interval_is_that_of_a_plain_loop_over_blocks(n: int, block: int, seed: int) -> None:
    series = np.random.default_rng(seed).standard_normal(n)
    generator, medians = np.random.default_rng(seed), []
    starts = generator.integers(0, n, (50, -(-n // block)))
    for row in starts:
        drawn = [series[(start + step) % n] for start in row for step in range(block)][:n]
        medians.append(np.median(drawn))
    low, high = median_interval(series, block, resamples=50, seed=seed)
    assert np.isclose(low, np.quantile(medians, 0.025)) and np.isclose(high, np.quantile(medians, 0.975))
