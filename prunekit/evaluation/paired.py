"""Two models on the same samples: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prunekit.errors import DataError
from prunekit.evaluation.accuracy import Z95, Accuracy

ALPHA = 0.05


def _binomial(k: int, n: int) -> Any:
    """Return scipy's exact binomial test of a fair coin."""
    from scipy.stats import binomtest  # noqa: PLC0415 (slow to import, and the process that times models has no use for it)

    return binomtest(k, n)


@dataclass(frozen=True)
class Difference:
    """How far apart two models are on the same samples.

    Attributes
    ----------
    value, low, high : float
        Accuracy of the second minus that of the first, and its 95 % interval; fractions in -1..1.
    p_value : float
        Exact McNemar test, two-sided.
    significant : bool
        ``p_value < 0.05``; exactly then the interval leaves 0 out, so the two never contradict each other.
    n : int
        Number of samples.
    """

    value: float
    low: float
    high: float
    p_value: float
    significant: bool
    n: int

    def to_dict(self) -> dict[str, float | bool]:
        """Return plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """Say it in plain words, as in ``−0.6 points, not significant``."""
        points = f"{abs(self.value) * 100:.1f}"
        sign = "" if points == "0.0" else ("+" if self.value > 0 else "−")
        return f"{sign}{points} points, {'significant' if self.significant else 'not significant'}"


def _bonett_price(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Return the adjusted Wald interval: one pseudo-observation in each discordant cell (Bonett and Price 2012)."""
    up, down, total = gained + 1, lost + 1, n + 2
    centre = (up - down) / total
    half = Z95 * float(np.sqrt((up + down) / total - centre**2) / np.sqrt(total))
    return centre - half, centre + half


def _exact(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Return the interval that inverts McNemar's exact test: Clopper-Pearson on the discordant pairs, scaled to all pairs."""
    changed = gained + lost
    if not changed:
        return 0.0, 0.0
    share = _binomial(gained, changed).proportion_ci(1 - ALPHA, method="exact")
    return (2 * share.low - 1) * changed / n, (2 * share.high - 1) * changed / n


def difference_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Return a 95 % interval of the difference of two paired proportions.

    The Bonett-Price interval has the coverage; the inverted exact test decides about 0. The interval is the span of both, so it leaves 0
    out exactly where McNemar's exact test gives p < 0.05, and is never shorter than Bonett-Price.

    Parameters
    ----------
    gained, lost, n : int
        Pairs that only the second, or only the first, got right; all pairs.

    Returns
    -------
    tuple of float
        Low and high end, in -1..1.

    References
    ----------
    Bonett and Price 2012, Adjusted Wald confidence interval for a difference of binomial proportions based on paired data, J. Educ. Behav.
    Stat. 37(4); McNemar 1947; Clopper and Pearson 1934.
    """
    adjusted, exact = _bonett_price(gained, lost, n), _exact(gained, lost, n)
    return max(min(adjusted[0], exact[0]), -1.0), min(max(adjusted[1], exact[1]), 1.0)


def compare(a: Accuracy, b: Accuracy) -> Difference:
    """Compare two models that were measured on the same samples in the same order.

    Parameters
    ----------
    a, b : Accuracy
        The baseline and the other model, from :func:`prunekit.evaluation.evaluate`.

    Returns
    -------
    Difference
        ``b`` minus ``a``, paired.

    Raises
    ------
    DataError
        If the numbers of samples differ: then they were not the same samples.
    """
    if a.n != b.n:
        raise DataError(f"a paired comparison needs the same samples; got {a.n} and {b.n}. Measure both on the same data")
    gained, lost = int((b.correct & ~a.correct).sum()), int((a.correct & ~b.correct).sum())
    # McNemar's exact test: given that a pair changed, each direction is equally likely where the models are equally good
    p_value = float(_binomial(gained, gained + lost).pvalue) if gained + lost else 1.0
    low, high = difference_interval(gained, lost, a.n)
    return Difference((gained - lost) / a.n, low, high, p_value, p_value < ALPHA, a.n)
