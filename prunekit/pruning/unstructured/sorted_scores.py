"""Scores in ascending order: all of them, or the stretch in which a cut lies and how many are below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[np.float32]
SAMPLE = 1 << 18  # scores that are looked at to guess where a cut lies
LARGE = 1 << 22  # of no more scores than these all are sorted, even for one cut
SPREADS = 8.0  # how many standard errors of the guess the stretch reaches to either side
SEED = 5


@dataclass(frozen=True, eq=False)
class Order:
    """A stretch of some scores in ascending order."""

    values: Flat  # the scores of the stretch, ascending
    below: int  # how many scores are less than all of these
    size: int  # how many there are in all; those beyond the stretch are more than all of its values

    @classmethod
    def whole(cls, scores: Flat) -> Order:
        """Return all scores in order."""
        return cls(np.sort(scores), 0, scores.size)

    @classmethod
    def together(cls, orders: Iterable[Order]) -> Order:
        """Return the same stretch of several sets of scores as one."""
        found = list(orders)
        values = np.sort(np.concatenate([order.values for order in found]))
        return cls(values, sum(order.below for order in found), sum(order.size for order in found))

    def first(self, count: int) -> Order:
        """Return the order of the lowest ``count`` scores."""
        return Order(self.values[: max(count - self.below, 0)], min(self.below, count), min(self.size, count))

    def holds(self, count: int) -> bool:
        """Return whether the cut that removes ``count`` scores lies in the stretch."""
        return count == 0 or self.below < count <= self.below + self.values.size

    def left(self, threshold: np.float32) -> int:
        """Return how many scores are less than a threshold in the stretch."""
        return self.below + int(np.searchsorted(self.values, threshold, side="left"))

    def equal(self, threshold: np.float32) -> int:
        """Return how many scores equal a threshold in the stretch."""
        return self.below + int(np.searchsorted(self.values, threshold, side="right")) - self.left(threshold)

    def lowest(self, count: int) -> tuple[np.float32, int]:
        """Return the threshold and the number of ties that make up exactly the lowest ``count`` scores."""
        if count == 0:
            return np.float32(-np.inf), 0
        place = count - self.below
        value = self.values[place - 1]
        # where all that equal it go there is no need to look for them
        if value < np.inf and (place == self.values.size or self.values[place] > value):
            return np.nextafter(value, np.float32(np.inf)), 0
        return value, count - self.left(value)


def within(pieces: Iterable[Flat], low: np.float32, high: np.float32) -> Order:
    """Return the order of those scores that are from ``low`` to ``high``; the scores come piece by piece."""
    found, below, size = [], 0, 0
    for scores in pieces:
        under = scores < low
        below += int(np.count_nonzero(under))
        size += scores.size
        np.logical_not(under, out=under)
        under &= scores <= high
        found.append(scores[under])
    return Order(np.sort(np.concatenate(found)) if found else np.empty(0, np.float32), below, size)


def guess(sample: Flat, share: float, reach: float = 1.0) -> tuple[np.float32, np.float32]:
    """Return bounds between which the quantile ``share`` almost certainly lies."""
    n = sample.size
    error = SPREADS * reach * ((share * (1 - share) * n) ** 0.5 + 1)
    first, last = int(np.floor(share * n - error)), int(np.ceil(share * n + error))
    infinite = np.float32(np.inf)
    return (sample[first] if first >= 0 else -infinite), (sample[last] if last < n else infinite)
