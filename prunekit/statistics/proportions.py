"""Proportions: the interval of one, and the paired difference of two."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from prunekit.errors import DataError, PrunekitError
from prunekit.statistics.difference import ALPHA, Difference

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a proportion.

    Parameters
    ----------
    k, n : int
        Successes and trials, ``0 <= k <= n`` and ``n >= 1``.

    Returns
    -------
    tuple of float
        Low and high end in 0..1.

    Raises
    ------
    PrunekitError
        If the counts are not possible.

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if n < 1 or not 0 <= k <= n:
        raise PrunekitError(f"need 0 <= k <= n and n >= 1; got k={k}, n={n}")
    p, z2 = k / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    # at the ends the bound is exactly 0 or 1; rounding would leave 1e-17
    return (0.0 if k == 0 else max(centre - half, 0.0)), (1.0 if k == n else min(centre + half, 1.0))


def _bonett_price(gained: int, lost: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the adjusted Wald interval: one pseudo-observation in each discordant cell (Bonett and Price 2012)."""
    up, down, total = gained + 1, lost + 1, n + 2
    centre = (up - down) / total
    half = (Z95 if alpha == ALPHA else NormalDist().inv_cdf(1 - alpha / 2)) * float(
        np.sqrt((up + down) / total - centre**2) / np.sqrt(total)
    )
    return centre - half, centre + half


def _exact(gained: int, lost: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval that inverts McNemar's exact test: Clopper-Pearson on the discordant pairs, scaled to all pairs."""
    changed = gained + lost
    if not changed:
        return 0.0, 0.0
    from scipy.special import betaincinv  # noqa: PLC0415 (slow to import, and the process that times models has no use for it)

    low = float(betaincinv(gained, lost + 1, alpha / 2)) if gained else 0.0
    high = float(betaincinv(gained + 1, lost, 1 - alpha / 2)) if lost else 1.0
    return (2 * low - 1) * changed / n, (2 * high - 1) * changed / n


def _p_value(gained: int, lost: int) -> float:
    """Return how often a fair coin lies as far from the middle (McNemar's exact test)."""
    from scipy.special import bdtr  # noqa: PLC0415 (as above)

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def difference_interval(gained: int, lost: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return an interval of the difference of two paired proportions, of 95 % unless a level is given.

    The Bonett-Price interval has the coverage; the inverted exact test decides about 0. The interval is the span of both, so it leaves 0
    out exactly where McNemar's exact test gives ``p < alpha``, and is never shorter than Bonett-Price.

    Parameters
    ----------
    gained, lost, n : int
        Pairs that only the second, or only the first, got right; all pairs.
    alpha : float
        How often the difference may lie outside.

    Returns
    -------
    tuple of float
        Low and high end, in -1..1.

    References
    ----------
    Bonett and Price 2012, Adjusted Wald confidence interval for a difference of binomial proportions based on paired data, J. Educ. Behav.
    Stat. 37(4); McNemar 1947; Clopper and Pearson 1934.
    """
    adjusted, exact = _bonett_price(gained, lost, n, alpha), _exact(gained, lost, n, alpha)
    return max(min(adjusted[0], exact[0]), -1.0), min(max(adjusted[1], exact[1]), 1.0)


def paired_proportions(a: ArrayLike, b: ArrayLike, alpha: float = ALPHA) -> Difference:
    """Compare two shares of the same samples by McNemar's exact test.

    Parameters
    ----------
    a, b : array of bool, shape [n]
        Which samples the first and the second got right, in the same order.
    alpha : float
        Level of the interval and of significance.

    Returns
    -------
    Difference
        The second share minus the first, with `difference_interval`.

    Raises
    ------
    DataError
        If the numbers of samples differ, or there are none.

    Examples
    --------
    >>> paired_proportions([True] * 10, [True] * 9 + [False]).value
    -0.1
    """
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise DataError(f"a paired comparison needs the same samples; got {a.size} and {b.size}. Measure both on the same data")
    gained, lost, n = int((b & ~a).sum()), int((a & ~b).sum()), a.size
    # given that a pair changed, each direction is equally likely where the models are equally good
    p_value = _p_value(gained, lost) if gained + lost else 1.0
    return Difference((gained - lost) / n, *difference_interval(gained, lost, n, alpha), p_value, p_value < alpha, n)
