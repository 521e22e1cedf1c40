"""The median of values in the order in which they were measured, where neighbours may be alike and there may be few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_ALIKE = 0.9
"""Correlation of neighbours beyond which a series is a trend, of which no length says how long it lasts."""
DEGREES = (1, 2, 3, 4, 5, 7, 10, 15, 30, np.inf)
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.365, 2.228, 2.131, 2.042, 1.960)
"""97.5 % of Student's t by degrees of freedom: scipy is slow to import, and the process that times models has no use for it."""


def independent_values(series: NDArray[np.float64]) -> float:
    """Return how many independent values tell as much of the middle as a series whose neighbours are alike.

    From the correlation of neighbours' ranks, as of an autoregressive series. Short series look less alike than they are (Kendall 1954);
    that is put right.

    Parameters
    ----------
    series : ndarray, shape [n]
        Values in the order in which they were measured.

    Returns
    -------
    float
        1 to n.

    References
    ----------
    Kendall 1954, Note on bias in the estimation of autocorrelation.
    """
    n = len(series)
    # ranks: a single slow round must neither hide nor make up a trend
    ranks = np.argsort(np.argsort(series, kind="stable"), kind="stable") - (n - 1) / 2
    power = float(ranks @ ranks)
    alike = float(ranks[1:] @ ranks[:-1]) / power if power else 0.0
    alike = float(np.clip((n * alike + 1) / max(n - 3, 1), 0.0, MOST_ALIKE))
    return max(1.0, n * (1 - alike) / (1 + alike))


def median_interval(series: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a series' median.

    Its ends are order statistics, as many ranks from the middle as the sign test allows for so many independent values; Student's t widens
    it where these are few. Where there are too few for any rank, it is the t interval of the mean's length, and never less than the range.

    Parameters
    ----------
    series : ndarray, shape [n]
        Values in the order in which they were measured.

    Returns
    -------
    tuple of float
        Low and high end; both are the value where there is but one, which says nothing of the spread.

    References
    ----------
    Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    n, middle = len(series), float(np.median(series))
    if n == 1:
        return middle, middle
    independent = max(2.0, independent_values(series))
    t = float(np.interp(-1 / (independent - 1), [-1 / d for d in DEGREES], STUDENT))
    ranks, centre = t * n / (2 * np.sqrt(independent)), (n - 1) / 2
    if ranks <= centre:
        low, high = np.interp([centre - ranks, centre + ranks], np.arange(n), np.sort(series))
    else:
        reach = t * series.std(ddof=1) / np.sqrt(independent)
        low, high = min(middle - reach, series.min()), max(middle + reach, series.max())
    return min(float(low), middle), max(float(high), middle)
