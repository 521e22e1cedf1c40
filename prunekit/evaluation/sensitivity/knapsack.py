"""One option of each layer: the most that can be saved for a price, and the least price for a saving (multiple-choice knapsack)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELLS = 4000  # resolution of the allowed drop, or of the goal


def most_within(drops: Sequence[Floats], gains: Sequence[Floats], allowed: float) -> Ints:
    """Choose one option of each layer so that most is saved within an allowed drop.

    The multiple-choice knapsack, solved exactly on drops that are rounded up to a 4,000th of what is allowed.

    Index of the option of each layer. The sum of the drops is at most ``allowed``.
    """
    costs = [_cells(d, allowed) for d in drops]
    best, picks = np.zeros(CELLS + 1), []
    for cost, gain in zip(costs, gains, strict=True):
        tried = np.full((cost.size, CELLS + 1), -np.inf)
        for k, c in enumerate(cost.tolist()):
            if c <= CELLS:
                tried[k, c:] = best[: CELLS + 1 - c] + gain[k]
        picks.append(tried.argmax(0))  # of equal ones the first: what removes less
        best = tried.max(0)
    return _walk_back(picks, costs, CELLS)


def _cells(drops: Floats, allowed: float) -> Ints:
    """Return drops in 4,000ths of what is allowed, rounded up; one more than all of them for what is not allowed at all."""
    fits = drops <= allowed + 1e-9
    share = np.divide(drops, allowed, out=np.zeros_like(drops), where=fits & (drops > 0) & (allowed > 1e-9))
    return np.where(~fits, CELLS + 1, np.minimum(np.ceil(share * CELLS - 1e-9), CELLS)).astype(np.int64)


def least_for(drops: Sequence[Floats], gains: Sequence[Floats], goal: float) -> Ints:
    """Choose one option of each layer so that a goal is met at the least drop.

    As :func:`most_within`, exact on what is saved rounded down to a 4,000th of the goal.

    Index of the option of each layer; the last of all where the goal is out of reach.
    """
    cells = [np.minimum(np.floor(g * (CELLS / goal) + 1e-9), CELLS).astype(np.int64) for g in gains]
    best, picks = np.where(np.arange(CELLS + 1) > 0, np.inf, 0.0), []  # by what is still to be saved
    for cell, drop in zip(cells, drops, strict=True):
        need = np.maximum(np.arange(CELLS + 1)[None, :] - cell[:, None], 0)
        tried = best[need] + drop[:, None]
        picks.append(tried.argmin(0))
        best = tried.min(0)
    if not np.isfinite(best[CELLS]):
        return np.array([g.size - 1 for g in gains])
    return _walk_back(picks, cells, CELLS)


def _walk_back(picks: Sequence[Ints], steps: Sequence[Ints], cell: int) -> Ints:
    """Return the options that led to a cell."""
    found = []
    for pick, step in zip(reversed(picks), reversed(steps), strict=True):
        k = int(pick[cell])
        found.append(k)
        cell = max(cell - int(step[k]), 0)
    return np.array(found[::-1], dtype=np.int64)
