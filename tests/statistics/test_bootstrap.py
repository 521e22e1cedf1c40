"""The bootstrap against scipy on the same resamples, against plain loops, by coverage, and where it must say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, t

from prunekit.errors import DataError
from prunekit.statistics.bootstrap import Sums, Weighted, bootstrap_difference, bootstrap_interval, bootstrap_replicates

RMSE = Sums(
    lambda rows: np.column_stack([(rows[:, 0] - rows[:, 1]) ** 2, np.ones(len(rows))]), lambda sums: np.sqrt(sums[..., 0] / sums[..., 1])
)
RMSE_WEIGHTED = Weighted(lambda rows, weights: np.sqrt(weights @ (rows[:, 0] - rows[:, 1]) ** 2 / weights.sum(axis=1)))


def rmse(rows: np.ndarray) -> float:
    return float(np.sqrt(((rows[:, 0] - rows[:, 1]) ** 2).mean()))


def pairs(seed: int, n: int, noise: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(n)
    return np.column_stack([truth, truth + noise * rng.standard_exponential(n)])


def grouped(seed: int, n: int, groups: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(n) % groups)


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12))
def test_all_forms_of_a_figure_have_the_same_resamples(seed: int, n: int, groups: int) -> None:
    rows = pairs(seed, n)
    for of in (None, grouped(seed, n, groups)):
        plain, *others = (bootstrap_replicates(rows, each, groups=of, resamples=30, seed=seed) for each in (rmse, RMSE, RMSE_WEIGHTED))
        assert all(np.allclose(plain, other) for other in others)
    assert rmse(rows) == pytest.approx(RMSE(rows)) == pytest.approx(RMSE_WEIGHTED(rows))


@given(st.integers(0, 10**6), st.integers(2, 30))
def test_a_group_is_drawn_whole(seed: int, groups: int) -> None:
    of = grouped(seed, 5 * groups, groups)
    sizes = bootstrap_replicates(of, lambda drawn: float(len(drawn)), groups=of, resamples=20, seed=seed)
    assert set(sizes) == {5.0 * groups}  # as many groups as there are, of five samples each
    counts = bootstrap_replicates(of, lambda drawn: float((np.bincount(drawn) % 5).max()), groups=of, resamples=20, seed=seed)
    assert set(counts) == {0.0}


def test_percentiles_and_bca_are_scipys_on_the_same_resamples() -> None:
    rows = pairs(3, 40)
    found = bootstrap_replicates(rows, RMSE)

    class Drawn:
        bootstrap_distribution = found

    def reference(method: str, level: float) -> tuple[float, float]:
        interval = bootstrap(
            (rows[:, 0], rows[:, 1]), lambda a, b: rmse(np.column_stack([a, b])), paired=True, vectorized=False,
            n_resamples=0, bootstrap_result=Drawn(), method=method, confidence_level=level,
        ).confidence_interval  # fmt: skip
        return interval.low, interval.high

    assert bootstrap_interval(rows, RMSE, method="bca") == pytest.approx(reference("BCa", 0.95))
    assert bootstrap_interval(rows, rmse, method="bca") == pytest.approx(reference("BCa", 0.95))
    wider = 1 - 2 * norm.cdf(np.sqrt(40 / 39) * t.ppf(0.025, 39))
    assert wider > 0.95
    assert bootstrap_interval(rows, RMSE, method="percentile") == pytest.approx(reference("percentile", wider))


@pytest.mark.parametrize(("method", "n"), [("percentile", 12), ("bca", 40)])
def test_the_interval_covers_the_truth(method: str, n: int) -> None:
    mean = Sums(lambda rows: np.column_stack([rows, np.ones(len(rows))]), lambda sums: sums[..., 0] / sums[..., 1])
    rng, hits = np.random.default_rng(5), []
    for _ in range(300):
        low, high = bootstrap_interval(rng.standard_normal(n), mean, method=method, resamples=400)
        hits.append(low <= 0 <= high)
    assert 0.91 < np.mean(hits) < 0.985


def test_groups_that_are_alike_widen_the_interval_until_it_covers() -> None:
    mean = Sums(lambda rows: np.column_stack([rows, np.ones(len(rows))]), lambda sums: sums[..., 0] / sums[..., 1])
    rng, of, hits, alone = np.random.default_rng(6), np.repeat(np.arange(30), 10), [], []
    for _ in range(200):
        rows = np.repeat(rng.standard_normal(30), 10) + 0.3 * rng.standard_normal(300)
        for groups, found in ((of, hits), (None, alone)):
            low, high = bootstrap_interval(rows, mean, groups=groups, resamples=300)
            found.append(low <= 0 <= high)
    assert np.mean(hits) > 0.9
    assert np.mean(alone) < 0.7


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(-0.5, 0.5))
def test_significance_and_interval_of_a_difference_agree(seed: int, n: int, shift: float) -> None:
    a = pairs(seed, n)
    b = a + np.column_stack([np.zeros(n), shift * np.random.default_rng(seed).standard_normal(n) + shift])
    found = bootstrap_difference(a, b, RMSE, resamples=200)
    assert (found.low > 0 or found.high < 0) == found.significant == (found.p_value < 0.05)
    assert found.low <= found.value <= found.high and 0 < found.p_value <= 1 and found.n == n
    assert found.value == pytest.approx(rmse(b) - rmse(a), abs=2e-6)  # what rounding decides is none
    turned = bootstrap_difference(b, a, RMSE, resamples=200)
    assert (turned.value, turned.low, turned.high, turned.p_value) == pytest.approx((-found.value, -found.high, -found.low, found.p_value))


def test_equal_models_are_rarely_different_and_a_real_difference_is_seen() -> None:
    rng, alarms, seen = np.random.default_rng(7), [], []
    for _ in range(200):
        truth = rng.standard_normal(60)
        a, b, worse = (np.column_stack([truth, truth + noise * rng.standard_normal(60)]) for noise in (0.5, 0.5, 0.9))
        alarms.append(bootstrap_difference(a, b, RMSE, resamples=400).significant)
        seen.append(bootstrap_difference(a, worse, RMSE, resamples=400).significant)
    assert np.mean(alarms) < 0.09
    assert np.mean(seen) > 0.9


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_a_model_does_not_differ_from_itself(seed: int, n: int) -> None:
    rows = pairs(seed, n)
    found = bootstrap_difference(rows, rows.copy(), RMSE)
    assert (found.value, found.low, found.high, found.p_value, found.significant) == (0.0, 0.0, 0.0, 1.0, False)


def test_rounding_is_no_difference() -> None:
    rows = pairs(1, 200)
    found = bootstrap_difference(rows, rows + np.array([0.0, 1e-8]), RMSE)
    assert (found.value, found.significant) == (0.0, False)
    assert bootstrap_difference(rows, rows + np.array([0.0, 1e-3]), RMSE).significant


@pytest.mark.parametrize(("changed", "significant"), [(1, False), (5, False), (9, True)])
def test_few_changes_prove_nothing(changed: int, significant: bool) -> None:
    a = pairs(2, 400)
    b = a.copy()
    b[:changed, 1] += 30
    found = bootstrap_difference(a, b, RMSE)
    assert found.significant is significant and (found.low > 0) is significant
    assert found.p_value >= 2.0 ** (1 - changed)


def test_what_cannot_be_said_is_not_said() -> None:
    one = pairs(0, 1)
    assert np.isnan(bootstrap_interval(one, RMSE)).all()
    assert np.isnan(bootstrap_interval(pairs(0, 6), RMSE, groups=np.zeros(6))).all()
    rarely = Weighted(lambda rows, weights: np.where(weights[:, 0] > 2, 1.0, np.nan))
    assert np.isnan(bootstrap_interval(pairs(0, 20), rarely)).all()
    with pytest.raises(DataError, match="no samples"):
        bootstrap_interval(np.zeros((0, 2)), RMSE)
    with pytest.raises(DataError, match="one group for each of 6 samples"):
        bootstrap_interval(pairs(0, 6), RMSE, groups=np.zeros(5))
    with pytest.raises(DataError, match="same samples"):
        bootstrap_difference(pairs(0, 6), pairs(0, 5), RMSE)
