"""Figures of scores that rank: AUC for any number of draws of each user, and how well each user's best-scored items are what they chose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
MOST_UNITS = 4096
"""Units of which all pairs are counted beforehand; of more, each resample goes through the sorted scores."""
ENTRIES = 2**21  # numbers that are held at a time


def auc_by_unit(score: Floats, label: Floats, unit: Whole) -> Callable[[Whole], Floats]:
    """Return the area under the ROC curve as a function of how often each unit is drawn.

    ``score``, ``label`` [n]: a positive sample's label is above 0; of two samples with one score half a pair is in order (Mann and Whitney,
    1947); ``unit`` [n]: the number of each sample's unit (user). The function takes counts [resamples, units] and gives [resamples]; NaN
    where only one class is drawn.
    """
    units, positive = int(unit.max()) + 1, label > 0
    if units > MOST_UNITS:
        return _auc_of_sorted(score, positive, unit)
    pairs = np.zeros((units, units))
    order = np.argsort(score[positive], kind="stable")
    above, owner = score[positive][order], unit[positive][order]
    by_unit = np.argsort(unit[~positive], kind="stable")
    below, ends = score[~positive][by_unit], np.bincount(unit[~positive], minlength=units).cumsum()
    for other in np.unique(unit[~positive]):  # how many of its negatives each positive is above; equal ones count half
        mine = below[ends[other - 1] if other else 0 : ends[other]]
        steps = np.bincount(np.searchsorted(above, mine, "left"), minlength=len(above) + 1)
        steps = steps + np.bincount(np.searchsorted(above, mine, "right"), minlength=len(above) + 1)
        pairs[:, other] = np.bincount(owner, weights=steps[:-1].cumsum() / 2, minlength=units)
    own = np.column_stack([np.bincount(unit[which], minlength=units) for which in (positive, ~positive)]).astype(np.float64)

    def figure(counts: Whole) -> Floats:
        drawn = counts.astype(np.float64)
        return _ratio(((drawn @ pairs) * drawn).sum(1), (drawn @ own).prod(1))

    return figure


def _auc_of_sorted(score: Floats, positive: NDArray[np.bool_], unit: Whole) -> Callable[[Whole], Floats]:
    """Return the same for many units: for each resample once through all samples in the order of their scores."""
    order = np.argsort(score, kind="stable")
    hit, unit, score = positive[order].astype(np.float64), unit[order], score[order]
    first = np.searchsorted(score, score, "left")
    last = np.searchsorted(score, score, "right")

    def some(counts: Whole) -> Floats:
        drawn = counts[:, unit].astype(np.float64)
        before = np.zeros((len(drawn), len(hit) + 1))
        np.cumsum(drawn * (1 - hit), axis=1, out=before[:, 1:])
        positives = drawn * hit
        return _ratio((positives * (before[:, first] + before[:, last])).sum(1) / 2, positives.sum(1) * before[:, -1])

    step = max(1, ENTRIES // len(hit))
    return lambda counts: np.concatenate([some(counts[i : i + step]) for i in range(0, len(counts), step)])


def _ratio(a: Floats, b: Floats) -> Floats:
    """Return a ratio, NaN where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b > 0, a / b, np.nan)


def top_k(score: Floats, label: Floats, group: Whole, k: int = 10) -> tuple[Floats, Floats, Floats]:
    """Return how good the first ``k`` items of each group (user) are, in the order of their scores.

    Items with one score share their places: each counts as if their order were drawn at random, which is what is expected of it.

    ``score``, ``label`` [n]: an item that was chosen has a label above 0; ``group`` [n]: whose items they are. Returned are, each [groups],
    NDCG (Järvelin and Kekäläinen, 2002), recall (the share of what was chosen that is among the first ``k``), and how many were chosen;
    both figures are 0 where none was.
    """
    _, unit = np.unique(group, return_inverse=True)
    sizes = np.bincount(unit)
    starts = np.cumsum(sizes) - sizes

    def placed(by: Floats) -> Floats:
        """Return the gain at each place of each group, [n], ties shared out."""
        order = np.lexsort((-by, unit))
        new = np.r_[True, (np.diff(by[order]) != 0) | (np.diff(unit[order]) != 0)]
        tie = new.cumsum() - 1
        gain: Floats = (np.bincount(tie, weights=(label[order] > 0)) / np.bincount(tie))[tie]
        return gain

    rank = np.arange(len(unit)) - np.repeat(starts, sizes)
    counted, owner = rank < k, np.repeat(np.arange(len(sizes)), sizes)
    discount = np.where(counted, 1 / np.log2(rank + 2), 0.0)
    gained, ideal = placed(score), placed((label > 0).astype(np.float64))
    dcg, best = (np.bincount(owner, weights=each * discount) for each in (gained, ideal))
    chosen = np.bincount(unit, weights=label > 0).astype(np.float64)
    hits = np.bincount(owner, weights=gained * counted)
    there = np.maximum(chosen, 1)
    return np.divide(dcg, best, out=np.zeros_like(dcg), where=best > 0), hits / there, chosen
