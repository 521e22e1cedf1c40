"""Scores of coupled layers made one score for each channel: first relative to something of their layer, then joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from prunekit.pruning.structured.coupling_solver import Ids

Scores = NDArray[np.float64]
Told = tuple[Ids, Scores]
"""Atoms, each once, and what one layer says of them."""


def _over(below: Callable[[Scores], float]) -> Callable[[Scores], Scores]:
    """Return scores over one number of theirs; all alike where that is zero, for then all of them are."""

    def relative(raw: Scores) -> Scores:
        number = float(below(raw))
        return raw / number if number > 0 else np.ones_like(raw)

    return relative


def _range(raw: Scores) -> Scores:
    """Return scores from 0 for the least to 1 for the largest."""
    width = float(np.ptp(raw))
    return (raw - raw.min()) / width if width > 0 else np.ones_like(raw)


def _gaussian(raw: Scores) -> Scores:
    """Return by how many standard deviations scores differ from their mean."""
    spread = float(raw.std(ddof=1)) if raw.size > 1 else 0.0
    return (raw - raw.mean()) / spread if spread > 0 else np.zeros_like(raw)


NORMALISERS: dict[str, Callable[[Scores], Scores]] = {
    "none": np.asarray,
    "mean": _over(np.mean),
    "max": _over(np.max),
    "sum": _over(np.sum),
    "range": _range,
    "gaussian": _gaussian,
}


def one_each(positions: Ids, atoms: Ids, scores: Scores) -> Told:
    """Return what a layer says of each atom that stands on it: the mean over the outputs that go with it."""
    unique, inverse = np.unique(atoms, return_inverse=True)
    return unique, np.bincount(inverse, scores[positions]) / np.bincount(inverse)


def joined(told: Iterable[Told], reduction: str) -> dict[int, float]:
    """Return one score for each atom.

    Parameters
    ----------
    told : iterable of tuple
        What each layer says, in order.
    reduction : {"mean", "max", "prod", "first", "sum"}
        What is made of an atom that several layers tell something about.
    """
    told = list(told)
    count = 1 + max((int(atoms.max(initial=0)) for atoms, _ in told), default=0)
    found, times = np.zeros(count), np.zeros(count, np.int64)
    for atoms, scores in told:
        new = times[atoms] == 0
        if reduction == "max":
            found[atoms] = np.where(new, scores, np.maximum(found[atoms], scores))
        elif reduction == "prod":
            found[atoms] = np.where(new, scores, found[atoms] * scores)
        elif reduction == "first":
            found[atoms] = np.where(new, scores, found[atoms])
        else:
            found[atoms] += scores
        times[atoms] += 1
    known = np.flatnonzero(times)
    values = found[known] / times[known] if reduction == "mean" else found[known]
    return dict(zip(known.tolist(), values.tolist(), strict=True))
