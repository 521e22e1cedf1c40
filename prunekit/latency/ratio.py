"""The ratio of two latencies that were measured in turns, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from prunekit.errors import LatencyError
from prunekit.formatting import ratio_span, times
from prunekit.statistics.series import median_interval

__all__ = ["MARGIN", "Ratio", "ratio"]

MARGIN = 0.01  # two copies of one model can differ by this much by where their weights lie in memory


@dataclass(frozen=True)
class Ratio:
    """Time of a candidate by time of the baseline: 1 is the same, below 1 is faster.

    Attributes
    ----------
    value, low, high : float
        Median over rounds of the candidate's time by the baseline's in the same round, and its 95 % interval.
    different : bool
        The interval leaves 1 out and the ratio is more than 1 % away from it. (The interval alone would call one pair of equal models in
        twenty different.)
    """

    value: float
    low: float
    high: float
    different: bool

    def to_dict(self) -> dict[str, float]:
        """Return ``value``, ``low`` and ``high``."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @property
    def speed(self) -> tuple[float, float, float]:
        """How many times as fast the candidate is: value, low, high."""
        return 1 / self.value, 1 / self.high, 1 / self.low


def speed_words(found: Ratio, baseline: str) -> str:
    """Say how a candidate's speed compares: ``is 1.05× slower than dense (95 % interval 1.03 to 1.07)``."""
    value, low, high = found.speed
    if not found.different:
        return f"shows no significant difference from {baseline} ({times(value)} as fast, 95 % interval {ratio_span(low, high)})"
    if value > 1:
        return f"is {times(value)} faster than {baseline} (95 % interval {ratio_span(low, high)})"
    return f"is {times(found.value)} slower than {baseline} (95 % interval {ratio_span(found.low, found.high)})"


def ratio(candidate: ArrayLike, baseline: ArrayLike) -> Ratio:
    """Return the ratio of two series of times, paired by round.

    Candidate and baseline of one round stay together, for what slows a machine down slows both. Few rounds, and rounds that are like their
    neighbours, widen the interval (`prunekit.statistics.median_interval`, of logarithms: either of the two may be the baseline).

    ``candidate``, ``baseline`` [rounds]: times round by round. A single round has no spread, and is never different.
    """
    a, b = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if a.ndim != 1 or a.shape != b.shape or not len(a) or not (np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)).all():
        raise LatencyError(f"need one positive time for each round from both; got {a.shape} and {b.shape}")
    series = a / b
    low, high = (float(np.exp(end)) for end in median_interval(np.log(series)))
    value = float(np.median(series))
    different = len(series) > 1 and bool((low > 1 or high < 1) and abs(value - 1) > MARGIN)
    return Ratio(value, min(low, value), max(high, value), different)
