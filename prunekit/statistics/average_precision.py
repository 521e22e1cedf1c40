"""Average precision of detections (COCO's): how they are matched with objects, and the figure, for any weights of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
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
