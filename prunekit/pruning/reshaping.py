"""Merging and splitting axes: one relation, flat[i, j] = row[i] OR column[j]."""

from __future__ import annotations

import math

import numpy as np

from prunekit.pruning.solve import IMMOVABLE, Ids, Variables
from prunekit.pruning.tracker import WRITTEN, Axes, Tracker


def reshaped(tracker: Tracker, axes: Axes, old: tuple[int, ...], new: tuple[int, ...]) -> list[Ids | None]:
    """Return the axes of a reshaped tensor: within the smallest blocks of equal size, merge to one flat axis and split it again."""
    result: list[Ids | None] = []
    for before, after in _blocks(old, new):
        found = [axes[i] for i in before]
        if len(before) == len(after) == 1:
            result.append(found[0])
        elif all(f is None for f in found):
            result += [None] * len(after)
        else:
            flat = _flatten(tracker.variables, found, [old[i] for i in before])
            result += _split(tracker, flat, [new[i] for i in after])
    return result


def _blocks(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Pair the axes of two shapes into the smallest blocks that hold the same number of elements."""
    blocks, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        before, after = [i][: len(old) - i], [j][: len(new) - j]
        i, j = i + len(before), j + len(after)
        while (a := math.prod(old[k] for k in before)) != (b := math.prod(new[k] for k in after)):
            if a < b:
                before.append(i)
                i += 1
            else:
                after.append(j)
                j += 1
        blocks.append((before, after))
    return blocks


def _flatten(variables: Variables, axes: list[Ids | None], sizes: list[int]) -> Ids:
    """Merge axes into one."""
    flat = np.full(1, IMMOVABLE)
    for axis, size in zip(axes, sizes, strict=True):
        flat = variables.outer(flat, np.full(size, IMMOVABLE) if axis is None else axis)
    return flat


def _split(tracker: Tracker, flat: Ids, sizes: list[int]) -> list[Ids | None]:
    """Split one axis into several."""
    whole, grid = flat.reshape(sizes), flat.reshape(sizes)
    for axis in range(len(sizes)):
        first = grid.take([0], axis)
        if (grid == first).all():
            grid = first  # what goes does not depend on this axis
    wide = [size for size in grid.shape if size > 1]
    if len(sizes) > 1 and not tracker.may_split(grid.reshape(-1)):
        return [None] * len(sizes)
    if len(wide) <= 1:
        return [grid.reshape(-1) if size > 1 else None for size in grid.shape] if wide else _same(whole, sizes)
    variables = tracker.variables
    parts: list[Ids | None] = [_part(variables, grid, axis) if size > 1 else None for axis, size in enumerate(grid.shape)]
    for part in parts[tracker.written()]:
        if part is not None:
            variables.freeze(part, tracker.at(WRITTEN))
    variables.tie(grid.reshape(-1), _flatten(variables, parts, list(grid.shape)))
    return parts


def _part(variables: Variables, grid: Ids, axis: int) -> Ids:
    """Return variables for one axis of a split one: a single one for slices that are the same."""
    slices = np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)
    if np.unique(slices[:, 0]).size == len(slices):
        return variables.fresh(len(slices))
    _, first, inverse = np.unique(slices, axis=0, return_index=True, return_inverse=True)
    return variables.fresh(len(first))[np.argsort(np.argsort(first))[inverse.reshape(-1)]]


def _same(whole: Ids, sizes: list[int]) -> list[Ids | None]:
    """Return the axes of a block whose elements are all one variable: the first axis that has some carries it."""
    wide = next((axis for axis, size in enumerate(sizes) if size > 1), None)
    return [whole.reshape(-1)[:size] if axis == wide else None for axis, size in enumerate(sizes)]
