"""The bootstrap: the interval of any figure of samples, and the paired difference of two, by resampling samples or groups of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.errors import DataError, one_of
from prunekit.statistics.difference import ALPHA, Difference

Floats: TypeAlias = NDArray[np.float64]
ENTRIES = 2**20  # counts that are held at a time
RESOLUTION = 1e-6  # of a figure: what is nearer to 0 than this is the rounding of float32, in which models compute
METHODS = ("percentile", "bca")


@dataclass(frozen=True)
class Sums:
    """A figure that is a function of sums over samples, as a mean, a ratio of totals, RMSE, R2 or a mean IoU: all resamples in one product.

    Parameters
    ----------
    features : callable
        Rows -> array [n, k] of what is summed; or one row a group, in the order of the groups' numbers.
    value : callable
        Sums [..., k] -> figures [...]; NaN where it is undefined.

    Examples
    --------
    >>> mean = Sums(lambda rows: np.column_stack([rows, np.ones(len(rows))]), lambda sums: sums[..., 0] / sums[..., 1])
    >>> mean(np.array([1.0, 3.0]))
    2.0
    """

    features: Callable[[Any], Floats]
    value: Callable[[Floats], Any]

    def __call__(self, rows: Any) -> float:
        """Return the figure of all rows."""
        return float(self.value(np.asarray(self.features(rows), dtype=np.float64).sum(axis=0)))


@dataclass(frozen=True)
class Weighted:
    """A figure of weighted samples, where the work that all resamples share (sorting, say) is done once.

    Parameters
    ----------
    value : callable
        ``(rows, weights)`` with integer weights [resamples, n] -> figures [resamples]; NaN where it is undefined.
    """

    value: Callable[[Any, NDArray[np.int64]], Any]

    def __call__(self, rows: Any) -> float:
        """Return the figure of all rows."""
        return float(self.value(rows, np.ones((1, len(rows)), dtype=np.int64))[0])


OfCounts = Callable[[NDArray[np.int64]], Floats]


@dataclass(frozen=True)
class ByUnit:
    """A figure of units (samples, or groups of them) that are each drawn so many times, such as AUC: what resamples share is done once.

    Parameters
    ----------
    prepare : callable
        ``(rows, unit)``, with the number of each row's unit [n], -> a function of how often each unit is drawn, counts [resamples, units]
        -> figures [resamples]; NaN where it is undefined.
    """

    prepare: Callable[[Any, NDArray[np.int64]], OfCounts]

    def __call__(self, rows: Any) -> float:
        """Return the figure of all rows."""
        return float(self.prepare(rows, np.zeros(len(rows), dtype=np.int64))(np.ones((1, 1), dtype=np.int64))[0])


Statistic: TypeAlias = Callable[[Any], float] | Sums | Weighted | ByUnit
QUICK = (Sums, Weighted, ByUnit)
"""Figures of which many resamples are computed at once."""


def _units(n: int, groups: ArrayLike | None) -> tuple[int, NDArray[np.int64] | None]:
    """Return how many units are resampled, and which unit each row belongs to (None: each is its own)."""
    if groups is None:
        return n, None
    names, unit_of = np.unique(np.asarray(groups), return_inverse=True)
    if unit_of.shape != (n,):
        raise DataError(f"need one group for each of {n} samples; got {unit_of.size}")
    return len(names), unit_of.astype(np.int64)


def _of_counts(rows: Any, statistic: Statistic, unit_of: NDArray[np.int64] | None) -> OfCounts:
    """Return the figure as a function of how often each unit was drawn: counts [b, units] -> [b]."""
    if isinstance(statistic, Sums):
        sums = _unit_sums(rows, statistic, unit_of)
        return lambda counts: _floats(statistic.value(counts.astype(np.float64) @ sums))
    if isinstance(statistic, ByUnit):
        return statistic.prepare(rows, np.arange(len(rows)) if unit_of is None else unit_of)
    if isinstance(statistic, Weighted):
        if unit_of is None:
            return lambda counts: _floats(statistic.value(rows, counts))
        step, of_row = max(1, ENTRIES // len(unit_of)), unit_of
        return lambda counts: np.concatenate(
            [_floats(statistic.value(rows, counts[i : i + step, of_row])) for i in range(0, len(counts), step)]
        )
    places = np.arange(len(rows))

    def each(counts: NDArray[np.int64]) -> Floats:
        return _floats([statistic(rows[np.repeat(places, row if unit_of is None else row[unit_of])]) for row in counts])

    return each


def _unit_sums(rows: Any, statistic: Sums, unit_of: NDArray[np.int64] | None) -> Floats:
    """Return what is summed, for each unit, [units, k]."""
    sums = np.asarray(statistic.features(rows), dtype=np.float64)
    if unit_of is None or len(sums) != len(unit_of):
        return sums
    return np.column_stack([np.bincount(unit_of, weights=column) for column in sums.T])


def _floats(values: Any) -> Floats:
    """Return figures as an array."""
    return np.asarray(values, dtype=np.float64)


def _counts(units: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each unit is drawn in each resample, [b, units], a part of the resamples at a time."""
    generator, step = np.random.default_rng(seed), max(1, ENTRIES // units)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.integers(0, units, (size, units)) + np.arange(size)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)


def bootstrap_replicates(
    rows: Any, statistic: Statistic, *, groups: ArrayLike | None = None, resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the figure of each resample.

    Parameters
    ----------
    rows : array, shape [n, ...], or anything with a length that an array of indices picks from
        The samples.
    statistic : callable, Sums, Weighted or ByUnit
        Rows -> float. The plain form is called once for each resample, the others once for many.
    groups : array, shape [n], optional
        Which group (user, document, image) each sample belongs to: whole groups are drawn.
    resamples : int
        Bootstrap resamples.
    seed : int
        Of the resampling: the same rows give the same figures.

    Returns
    -------
    ndarray, shape [resamples]
        NaN where a resample leaves the figure undefined.

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap.
    """
    units, unit_of = _units(len(rows), groups)
    of = _of_counts(rows, statistic, unit_of)
    return np.concatenate([of(counts) for counts in _counts(units, resamples, seed)])


def bootstrap_interval(
    rows: Any,
    statistic: Statistic,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    method: str | None = None,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a figure.

    Parameters
    ----------
    rows, statistic, groups, resamples, seed
        As for `bootstrap_replicates`.
    method : {"percentile", "bca"}, optional
        Percentiles, expanded for few units (Hesterberg 2015), or bias-corrected and accelerated (Efron 1987), which takes a figure for each
        unit left out. Left out, it is "bca" for `Sums` and "percentile" for the others.

    Returns
    -------
    tuple of float
        Low and high end around the figure of all rows; NaN where it cannot be said: fewer than two units, or a figure that most resamples
        leave undefined.

    Raises
    ------
    DataError
        If there are no rows, or not one group for each.

    References
    ----------
    Efron 1987, Better bootstrap confidence intervals; Hesterberg 2015, What teachers should know about the bootstrap.

    Examples
    --------
    >>> [round(end, 1) for end in bootstrap_interval(np.arange(100.0), np.mean)]
    [43.8, 55.2]
    """
    method = method or ("bca" if isinstance(statistic, Sums) else "percentile")
    one_of("method", method, METHODS)
    if not len(rows):
        raise DataError("there are no samples to measure on: choose data that are not empty")
    units, unit_of = _units(len(rows), groups)
    of, value = _of_counts(rows, statistic, unit_of), statistic(rows)
    found = np.concatenate([of(counts) for counts in _counts(units, resamples, seed)])
    found = found[~np.isnan(found)]
    if units < 2 or len(found) < resamples / 2 or np.isnan(value):
        return np.nan, np.nan
    tails = _accelerated(found, value, _left_out(rows, statistic, unit_of, units)) if method == "bca" else None
    low, high = np.quantile(found, _expanded(units) if tails is None else tails)
    return min(float(low), value), max(float(high), value)


def bootstrap_difference(
    a: Any, b: Any, statistic: Statistic, *, groups: ArrayLike | None = None, resamples: int = 2000, seed: int = 0, alpha: float = ALPHA
) -> Difference:
    """Compare a figure of two models on the same samples: both are measured on each resample.

    Parameters
    ----------
    a, b : array, shape [n, ...], or as for `bootstrap_replicates`
        The samples as the first and the second model answered them, in the same order.
    statistic, groups, resamples, seed
        As for `bootstrap_replicates`; the groups hold for both.
    alpha : float
        Level of the interval and of significance.

    Returns
    -------
    Difference
        The second minus the first, with an expanded percentile interval and the p-value that inverts it. A difference below a millionth of
        the figures is none. Where only m units changed, the p-value is at least 2 ** (1 - m): so often do all go one way by chance.

    Raises
    ------
    DataError
        If the numbers of samples differ, or there are none.

    References
    ----------
    Efron and Tibshirani 1993, chapter 16; Hesterberg 2015, What teachers should know about the bootstrap.
    """
    n = len(a)
    if n != len(b) or not n:
        raise DataError(f"a paired comparison needs the same samples; got {n} and {len(b)}. Measure both on the same data")
    units, unit_of = _units(n, groups)
    changed = _changed(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64), unit_of)
    if not changed:
        return Difference(0.0, 0.0, 0.0, 1.0, False, n)
    first, second = statistic(a), statistic(b)
    of_a, of_b = _of_counts(a, statistic, unit_of), _of_counts(b, statistic, unit_of)
    found = np.concatenate([of_b(counts) - of_a(counts) for counts in _counts(units, resamples, seed)])
    found, least = np.sort(found[~np.isnan(found)]), RESOLUTION * max(abs(first), abs(second))
    found[np.abs(found) <= least] = 0.0
    value = 0.0 if abs(second - first) <= least else second - first
    if units < 2 or len(found) < resamples / 2:
        return Difference(value, np.nan, np.nan, 1.0, False, n)
    return _decided(value, found, units, changed, n, alpha)


def _decided(  # noqa: PLR0917 (what was found, and what it is judged by)
    value: float, found: Floats, units: int, changed: int, n: int, alpha: float
) -> Difference:
    """Return the difference with interval and p-value from sorted replicates, which agree exactly about 0."""
    size = len(found)
    share = (1 + min(int((found <= 0).sum()), int((found >= 0).sum()))) / (size + 1)
    p_value = min(1.0, max(2 * float(_tail(share, units)), 2.0 ** (1 - changed)))
    # the most values that may lie beyond an end: with one more beyond 0 the p-value would not be below alpha
    beyond = int((2 * _tail(np.arange(1, size + 1) / (size + 1), units) < alpha).sum())
    low, high = float(found[max(beyond, 1) - 1]), float(found[-max(beyond, 1)])
    if p_value >= alpha:
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, min(low, value), max(high, value), p_value, p_value < alpha, n)


def _changed(a: Floats, b: Floats, unit_of: NDArray[np.int64] | None) -> int:
    """Return how many units the two answered differently."""
    differ = ~((a == b) | (np.isnan(a) & np.isnan(b))).reshape(len(a), -1).all(axis=1)
    return int(differ.sum()) if unit_of is None else len(np.unique(unit_of[differ]))


def _tail(share: Any, units: int) -> Any:
    """Return which tail of Student's t a share of resamples stands for; `_expanded` is the inverse (Hesterberg 2015)."""
    from scipy.special import ndtri, stdtr  # noqa: PLC0415 (slow to import)

    return stdtr(units - 1, ndtri(share) * np.sqrt((units - 1) / units)) if units > 1 else share


def _expanded(units: int) -> tuple[float, float]:
    """Return percentiles that few units move outwards: resamples of n vary by n - 1 as much as samples, and t is wider than normal."""
    from scipy.special import ndtr, stdtrit  # noqa: PLC0415 (slow to import)

    tail = float(ndtr(stdtrit(units - 1, ALPHA / 2) * np.sqrt(units / (units - 1))))
    return tail, 1 - tail


def _left_out(rows: Any, statistic: Statistic, unit_of: NDArray[np.int64] | None, units: int) -> Floats:
    """Return the figure without each unit."""
    if isinstance(statistic, Sums):
        sums = _unit_sums(rows, statistic, unit_of)
        return _floats(statistic.value(sums.sum(axis=0) - sums))
    of = _of_counts(rows, statistic, unit_of)
    return np.concatenate([of(1 - np.eye(1, units, unit, dtype=np.int64)) for unit in range(units)])


def _accelerated(found: Floats, value: float, left_out: Floats) -> tuple[float, float] | None:
    """Return BCa's percentiles (Efron 1987), None where they cannot be said."""
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 (slow to import)

    bias = float(ndtri(((found < value).mean() + (found <= value).mean()) / 2))
    pull = left_out.mean() - left_out
    spread = float((pull**2).sum())
    skew = float((pull**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = bias + np.array([ndtri(ALPHA / 2), ndtri(1 - ALPHA / 2)])
    tails = ndtr(bias + ends / (1 - skew * ends))
    return (float(tails[0]), float(tails[1])) if np.isfinite(tails).all() and (skew * ends < 1).all() else None
