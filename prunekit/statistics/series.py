"""Series in the order in which they were measured: neighbours may be alike, so blocks of them are resampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def block_length(series: NDArray[np.float64]) -> int:
    """Return how many neighbours to resample together.

    1 unless the lag-1 autocorrelation is beyond its 95 % band; then Carlstein's length for an autoregressive series, at most a quarter of
    the whole.

    Parameters
    ----------
    series : ndarray, shape [n]
        Values in the order in which they were measured.

    Returns
    -------
    int
        1 to n // 4, or 1.

    References
    ----------
    Carlstein 1986, The use of subseries values for estimating the variance of a general statistic from a stationary sequence.
    """
    n = len(series)
    # ranks: a single slow round must neither hide nor make up a trend
    ranks = np.argsort(np.argsort(series)) - (n - 1) / 2
    power = float(ranks @ ranks)
    rho = float(ranks[1:] @ ranks[:-1]) / power if power else 0.0
    if n < 8 or abs(rho) < 1.96 / np.sqrt(n):
        return 1
    length = (2 * abs(rho) / (1 - min(rho**2, 0.98))) ** (2 / 3) * n ** (1 / 3)
    return int(np.clip(np.ceil(length), 1, n // 4))


def median_interval(series: NDArray[np.float64], block: int = 1, *, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a series' median by the circular block bootstrap.

    Parameters
    ----------
    series : ndarray, shape [n]
        Values in order.
    block : int
        Neighbours that are resampled together, as from `block_length`.
    resamples : int
        Bootstrap resamples.
    seed : int
        Of the resampling: the same series gives the same interval.

    Returns
    -------
    tuple of float
        Low and high end (percentiles).

    References
    ----------
    Politis and Romano 1992, A circular block-resampling procedure for stationary data.
    """
    n = len(series)
    starts = np.random.default_rng(seed).integers(0, n, (resamples, -(-n // block)))
    places = ((starts[:, :, None] + np.arange(block)) % n).reshape(resamples, -1)[:, :n]
    low, high = np.quantile(np.median(series[places], axis=1), [0.025, 0.975])
    return float(low), float(high)
