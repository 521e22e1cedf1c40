"""Figures of scores that rank: AUC, how well each user's best-scored items are chosen, and average precision of detections (COCO's)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
        return ratio(((drawn @ pairs) * drawn).sum(1), (drawn @ own).prod(1))

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
        return ratio((positives * (before[:, first] + before[:, last])).sum(1) / 2, positives.sum(1) * before[:, -1])

    step = max(1, ENTRIES // len(hit))
    return lambda counts: np.concatenate([some(counts[i : i + step]) for i in range(0, len(counts), step)])


def ratio(a: Floats, b: Floats) -> Floats:
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


SCORE, OVERLAP, MOST = 0.01, 0.6, 100
"""What counts as a detection: a score from here on; of two of one class that overlap by more (IoU) the better; so many a picture."""
SIZES = ("all", "small", "medium", "large")
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of the overlap (IoU) from which on a detection hits an object."""
RECALLS = np.linspace(0, 1, 101)
BITS = len(THRESHOLDS)


def matched(found: Mapping[str, Floats], objects: Mapping[str, Floats], ranges: Floats, classes: int) -> tuple[Whole, Floats]:
    """Match the detections of one picture with its objects, class by class, the surest first.

    A detection takes the object that it overlaps most among those that are free. Crowds, and objects whose area is outside of a range, need
    not be found: a detection that takes one of these, or that is outside of the range itself and takes none, counts for nothing.

    ``found``: ``boxes`` [n, 4], ``scores`` [n] and ``labels`` [n] of the detections; ``objects``: ``boxes`` [m, 4] and ``labels`` [m], and
    where known ``crowd`` [m] and ``area`` [m] (else that of the box); ``ranges`` [sizes, 2]: areas from and to which objects belong to a
    size. For each size and detection bits [sizes, n]: the lowest ten say at which thresholds it hits, the next ten where it counts for
    nothing; and how many objects of each class have to be found, [sizes, classes].
    """
    boxes, scores, labels = (found[name] for name in ("boxes", "scores", "labels"))
    there, kinds = objects["boxes"].reshape(-1, 4), objects["labels"].reshape(-1).astype(np.int64)
    crowd = np.asarray(objects.get("crowd", np.zeros(len(kinds)))).astype(bool)
    area = np.asarray(objects.get("area", _areas(there)))
    passed = crowd | (area < ranges[:, :1]) | (area > ranges[:, 1:])  # [sizes, m]
    own = _areas(boxes)
    outside = (own < ranges[:, :1]) | (own > ranges[:, 1:])
    wanted = np.stack([np.bincount(kinds[~row], minlength=classes)[:classes] for row in passed]).astype(np.float64)
    hit = np.zeros((len(ranges), BITS, len(scores)), dtype=bool)
    void = np.repeat(outside[:, None], BITS, axis=1)
    overlap, least = _overlaps(boxes, there, crowd), np.minimum(THRESHOLDS, 1 - 1e-10)[None, :, None]
    sizes, levels = np.indices((len(ranges), BITS))
    for kind in np.intersect1d(kinds, labels.astype(np.int64)):
        of_kind = np.flatnonzero(kinds == kind)[::-1]  # of equal overlaps the last object counts
        skipped = passed[:, None, of_kind]
        free = np.ones((len(ranges), BITS, len(of_kind)), dtype=bool)
        places = np.flatnonzero(labels == kind)
        for place in places[np.argsort(-scores[places], kind="stable")]:
            iou = overlap[place, of_kind]
            reached = (free | crowd[of_kind]) & (iou >= least)
            best = np.where(reached, iou + np.where(skipped, 0, 2), -1)
            taken = best.argmax(-1)
            some = best.max(-1) >= 0
            nothing = np.take_along_axis(np.broadcast_to(skipped, best.shape), taken[..., None], -1)[..., 0]
            hit[..., place] = some & ~nothing
            void[..., place] = np.where(some, nothing, void[..., place])
            free[sizes, levels, taken] &= ~some
    powers = (1 << np.arange(BITS))[None, :, None]
    return (hit * powers).sum(1) + ((void * powers).sum(1) << BITS), wanted


def _areas(boxes: Floats) -> Floats:
    """Return areas of boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _overlaps(boxes: Floats, objects: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """Return IoU, [n, m]; with a crowd the share of the detection that lies in it."""
    low, high = np.maximum(boxes[:, None, :2], objects[None, :, :2]), np.minimum(boxes[:, None, 2:], objects[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    own, theirs = _areas(boxes)[:, None], _areas(objects)[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        iou: Floats = np.nan_to_num(shared / np.where(crowd, own, own + theirs - shared))
    return iou


class AveragePrecision:
    """Average precision from what was matched, for any weights of the pictures.

    ``scores``, ``kinds``, ``bits`` [pictures, detections]: scores (below 0 where there is no detection), classes, and `matched`'s bits;
    ``wanted`` [pictures, classes]: how many objects there are to find.
    """

    def __init__(self, scores: Floats, kinds: Floats, bits: Whole, wanted: Floats) -> None:
        self.wanted = wanted
        picture, place = np.nonzero(scores >= 0)
        order = np.argsort(-scores[picture, place], kind="stable")
        self.picture, place = picture[order], place[order]
        self.kind, self.bits = kinds[self.picture, place].astype(np.int64), bits[self.picture, place]

    def mean(self, weights: Whole, thresholds: slice = slice(None)) -> Floats:
        """Return the mean over classes that have objects, and over thresholds, for each row of weights [b, pictures]: [b]."""
        each = self.by_class(weights, thresholds)
        there = ~np.isnan(each[..., 0])
        with np.errstate(invalid="ignore"):
            means: Floats = np.where(there[..., None], each, 0).mean(-1).sum(-1) / np.where(there.any(-1), there.sum(-1), np.nan)
        return means

    def by_class(self, weights: Whole, thresholds: slice = slice(None), kinds: Sequence[int] | None = None) -> Floats:
        """Return average precision [b, classes, thresholds]; NaN where weights leave no object of a class, and of classes not asked for."""
        levels = range(BITS)[thresholds]
        found = np.full((len(weights), self.wanted.shape[1], len(levels)), np.nan)
        there = np.flatnonzero(self.wanted.any(0))
        for kind in there if kinds is None else np.intersect1d(there, kinds):
            objects = weights @ self.wanted[:, kind].astype(np.int64)
            of_kind = self.kind == kind
            drawn, bits = weights[:, self.picture[of_kind]], self.bits[of_kind]
            for k, level in enumerate(levels):
                hits, counted = (bits >> level & 1).astype(bool), ~(bits >> (level + BITS) & 1).astype(bool)
                found[:, kind, k] = _average(drawn[:, counted], hits[counted], objects)
        return found


def _average(drawn: Whole, hits: NDArray[np.bool_], objects: Whole) -> Floats:
    """Return the mean of precision at 101 recalls: of detections drawn so often, the surest first, [b, n], which hit or do not."""
    rows = len(drawn)
    if not hits.any():
        return np.where(objects > 0, 0.0, np.nan)
    seen = np.cumsum(drawn, axis=1)[:, hits]
    hit = np.cumsum(drawn[:, hits], axis=1)  # precision is highest, and recall goes up, at hits
    precision = np.maximum.accumulate((hit / np.maximum(seen, 1))[:, ::-1], axis=1)[:, ::-1]
    needed = _needed(objects)
    # one search for all rows: each row's counts lie in a range of their own
    base = np.arange(rows)[:, None] * (int(max(hit.max(), needed.max())) + 2)
    place = np.searchsorted((hit + base).ravel(), (needed + base).ravel(), side="left").reshape(needed.shape)
    place -= np.arange(rows)[:, None] * hit.shape[1]
    reached = place < hit.shape[1]
    at = np.take_along_axis(precision, np.where(reached, place, 0), axis=1)
    return np.where(objects > 0, np.where(reached, at, 0).mean(axis=1), np.nan)


def _needed(objects: Whole) -> Whole:
    """Return the fewest hits whose recall reaches each of 101 recalls, [b, 101], as floating-point numbers compare."""
    of = np.maximum(objects, 1)[:, None]
    least = np.ceil(RECALLS * of).astype(np.int64)
    least -= ((least - 1) / of >= RECALLS) & (least > 0)
    least += least / of < RECALLS
    return np.maximum(least, 0)
