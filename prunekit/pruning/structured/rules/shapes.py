"""Rules of operations that only move elements: views, merged and split axes, slices, joins, changes of order."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, rule
from prunekit.pruning.structured.coupling_solver import IMMOVABLE, Ids, Variables
from prunekit.pruning.structured.operation_calls import Axes, tensors_in


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
            flat = _merged(tracker, found, [old[i] for i in before])
            made = _split(tracker, flat, [new[i] for i in after])
            tracker.grid(made)
            result += made
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


def _merged(tracker: Tracker, axes: list[Ids | None], sizes: list[int]) -> Ids:
    """Merge axes into one, and note of which it was made; an axis that was cut finer and merged again counts for its parts."""
    wide = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if size > 1 or axis is not None]
    if len(wide) == 1 and wide[0][0] is not None:
        return wide[0][0]
    fine = [part for axis, size in zip(axes, sizes, strict=True) for part in (tracker.finer.get(id(axis)) or (axis, ((axis, size),)))[1]]
    flat = _flatten(tracker.variables, [axis for axis, _ in fine], [size for _, size in fine])
    if sum(axis is not None for axis, _ in fine) > 1:
        tracker.merged[id(flat)] = flat, tuple(part for part in fine if part[1] > 1)
    return flat


def _recut(tracker: Tracker, flat: Ids, sizes: list[int]) -> list[Ids | None] | None:
    """Split a merged axis elsewhere than it was merged, where the places nest: the parts are split, and merged again.

    Heads in groups, each of some features: features are merged with heads, and a norm takes each group apart again.
    """
    _, parts = tracker.merged.get(id(flat), (flat, ()))
    old, new = ([math.prod(of[k:]) for k in range(len(of) + 1)] for of in ([size for _, size in parts], [s for s in sizes if s > 1]))
    ends = sorted({*old, *new}, reverse=True)
    if not parts or set(new) <= set(old) or any(a % b for a, b in itertools.pairwise(ends)):
        return None
    fine: list[tuple[Ids | None, int]] = []
    for (axis, _), (whole, rest) in zip(parts, itertools.pairwise(old), strict=True):
        inner = [a // b for a, b in itertools.pairwise(end for end in ends if rest <= end <= whole)]
        cut = [axis] if axis is None or len(inner) == 1 else _split(tracker, axis, inner)
        fine += zip(cut if axis is not None else [None] * len(inner), inner, strict=True)
    made: list[Ids | None] = []
    for size in sizes:
        taken: list[tuple[Ids | None, int]] = []
        while math.prod(each for _, each in taken) < size:
            taken.append(fine.pop(0))
        if len(taken) > 1 and any(axis is not None for axis, _ in taken):
            joined = _merged(tracker, [axis for axis, _ in taken], [each for _, each in taken])
            tracker.finer[id(joined)] = joined, tuple(taken)
            made.append(joined)
        else:
            made.append(taken[0][0] if taken else None)
    return made


def _flatten(variables: Variables, axes: list[Ids | None], sizes: list[int]) -> Ids:
    """Merge axes into one."""
    flat = np.full(1, IMMOVABLE)
    for axis, size in zip(axes, sizes, strict=True):
        flat = variables.outer(flat, np.full(size, IMMOVABLE) if axis is None else axis)
    return flat


def _split(tracker: Tracker, flat: Ids, sizes: list[int]) -> list[Ids | None]:
    """Split one axis into several."""
    recut = _recut(tracker, flat, sizes)
    if recut is not None:
        tracker.splitting(flat)
        return recut
    whole, grid = flat.reshape(sizes), flat.reshape(sizes)
    for axis in range(len(sizes)):
        first = grid.take([0], axis)
        if (grid == first).all():
            grid = first  # what goes does not depend on this axis
    wide = [size for size in grid.shape if size > 1]
    if len(sizes) > 1:
        tracker.splitting(grid.reshape(-1))
    if len(wide) <= 1:
        found = flat if grid.size == flat.size else grid.reshape(-1)
        return [found if size > 1 else None for size in grid.shape] if wide else _same(whole, sizes)
    variables = tracker.variables
    parts: list[Ids | None] = [_reshaping_part(variables, grid, axis) if size > 1 else None for axis, size in enumerate(grid.shape)]
    variables.tie(grid.reshape(-1), _flatten(variables, parts, list(grid.shape)))
    return parts


def _reshaping_part(variables: Variables, grid: Ids, axis: int) -> Ids:
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


MOST_PARTS = 8  # an axis cut into more equal parts than these was hardly made of them


@rule("cat", "concatenate")
def cat(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Channels stand behind each other along the axis; the other axes are one."""
    parts = [t for t in args[0] if t.dim() == out.dim()]  # an empty 1-d tensor is allowed and adds nothing
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    axes: list[Ids | None] = []
    for axis in range(out.dim()):
        found = [tracker.axes(t)[axis] for t in parts]
        if axis == dim:
            joined = [np.full(t.shape[axis], IMMOVABLE) if f is None else f for t, f in zip(parts, found, strict=True)]
            axes.append(None if all(f is None for f in found) else np.concatenate(joined))
            continue
        first = found[0]
        for other in found[1:]:
            first = tracker.tie(first, other, "concatenation along another axis")
        axes.append(first)
    tracker.put(out, axes)


@rule("stack")
def stack(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Tensors stand behind each other along a new axis, which stays whole; their own axes are one."""
    dim, axes = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim(), list(tracker.axes(args[0][0]))
    for other in args[0][1:]:
        axes = [tracker.tie(a, b, "stack") for a, b in zip(axes, tracker.axes(other), strict=True)]
    tracker.put(out, [*axes[:dim], None, *axes[dim:]])


@rule("repeat")
def repeat(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes come several times over, each time alike; one of length one follows whatever it meets."""
    x, times = args[0], args[1]
    known = [*[None] * (out.dim() - x.dim()), *tracker.axes(x)]
    sizes = [*[1] * (out.dim() - x.dim()), *x.shape]
    axes: list[Ids | None] = []
    for found, size, many in zip(known, sizes, times, strict=True):
        alike = size == 1 and many > 1
        axes.append(tracker.variables.fresh(many) if alike else found if found is None else np.tile(found, many))
    tracker.put(out, axes)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten")
def view(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Merge and split axes."""
    if out.dim() > args[0].dim():  # an axis is taken apart, or a shape is written out
        for axis in tracker.axes(args[0]):
            if axis is not None:
                tracker.splitting(axis)
    tracker.put(out, reshaped(tracker, tracker.axes(args[0]), tuple(args[0].shape), tuple(out.shape)))


@rule("permute", "transpose", "t", "numpy_T", "movedim")
def rearrange(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes change places."""
    x = args[0]
    order = list(range(x.dim()))
    if len(args) == 1:
        order.reverse()
    elif isinstance(args[1], (list, tuple)):
        order = [d % x.dim() for d in args[1]]
    else:
        a, b = args[1] % x.dim(), args[2] % x.dim()
        order[a], order[b] = b, a
    axes = tracker.axes(x)
    tracker.put(out, [axes[d] for d in order])


@rule("unsqueeze")
def unsqueeze(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let an axis of length one come."""
    axes, dim = list(tracker.axes(args[0])), args[1] % out.dim()
    tracker.put(out, [*axes[:dim], None, *axes[dim:]])


@rule("squeeze")
def squeeze(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes of length one go."""
    x = args[0]
    told = args[1] if len(args) > 1 else range(x.dim())
    dims = {d % x.dim() for d in (told if isinstance(told, (list, tuple, range)) else [told])}
    tracker.put(out, [f for a, f in enumerate(tracker.axes(x)) if a not in dims or x.shape[a] > 1])


@rule("expand")
def expand(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes of length one repeat: all their elements are the same, and shrink with whatever they meet."""
    x = args[0]
    axes: list[Ids | None] = []
    for axis in range(out.dim()):
        own = axis - out.dim() + x.dim()
        same = own >= 0 and x.shape[own] == out.shape[axis]
        axes.append(tracker.axes(x)[own] if same else tracker.variables.fresh(out.shape[axis]))
    tracker.put(out, axes)


@rule("slice", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk", "narrow", "constant_pad_nd")
def pieces(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes that keep their length pass; equal parts of an axis go in the same places; what is cut otherwise or padded stays whole."""
    x, results, axes = args[0], tensors_in(out), tracker.axes(args[0])
    if tracker.where in tracker.cutting and tracker.call[1] == "slice" and (len(args) < 5 or args[4] == 1):
        axis, start = args[1] % x.dim(), (args[2] if len(args) > 2 and args[2] is not None else 0) % x.shape[args[1]]
        found = [f[start : start + out.shape[axis]] if a == axis and f is not None else f for a, f in enumerate(axes)]
        tracker.put(out, found)
        return
    cut = {a for a in range(x.dim()) if any(r.shape[a] != x.shape[a] for r in results)}
    parts = {a: _part(tracker.call[1], args, results, a) for a in cut}
    if tracker.rehearsed and tracker.call[1] in AT_SIZES and len(cut) == 1:
        axis = min(cut)
        if parts[axis] < 2 or _keeps(tracker, {result.shape[axis] for result in results}):
            _at_sizes(tracker, axes, results, axis)
            return
    tracker.freeze(x, "an axis that is sliced, split or padded", [a for a in cut if parts[a] < 2])
    places = {a: _places(tracker, axes[a], part) for a, part in parts.items()}
    for result in results:
        found = [places[a] if a in cut else f for a, f in enumerate(axes)]
        found = [np.tile(f, result.shape[a] // f.size) if a in cut and f is not None else f for a, f in enumerate(found)]
        tracker.put(result, found)
        tracker.grid([found[a] for a in cut])  # a module that cuts an axis at numbers keeps them


AT_SIZES = ("split_with_sizes", "unsafe_split_with_sizes")


def _keeps(tracker: Tracker, sizes: set[int]) -> bool:
    """Return whether different sizes are numbers that the running module keeps beside its layers, or products of two of them."""
    kept = tracker.kept_by(tracker.where) if len(sizes) > 1 else set[int]()
    return bool(kept) and sizes <= {a * b for a in kept for b in (1, *kept)}


def _at_sizes(tracker: Tracker, axes: Axes, results: list[Tensor], axis: int) -> None:
    """Let each piece of an axis shrink by itself: a module that cuts at numbers may keep them beside, which the rehearsal finds out."""
    found, start = axes[axis], 0
    for result in results:
        end = start + result.shape[axis]
        piece = None if found is None else found[start:end]
        tracker.put(result, [piece if a == axis else f for a, f in enumerate(axes)])
        tracker.grid([piece])
        tracker.pieces += [] if piece is None else [piece]
        start = end


def _part(operation: str, args: tuple[Any, ...], results: list[Tensor], axis: int) -> int:
    """Return the length of the equal parts of which an axis's pieces are made; 0 where there are no such parts."""
    whole, lengths = args[0].shape[axis], [r.shape[axis] for r in results]
    if operation == "constant_pad_nd" or (operation == "slice" and len(args) > 4 and args[4] != 1):
        return 0
    start = args[2] if operation == "slice" and len(args) > 2 and args[2] is not None else 0
    part = math.gcd(whole, start % whole, *lengths)
    return part if whole // part <= MOST_PARTS else 0


def halves(tracker: Tracker, axis: Ids | None, parts: int) -> Ids | None:
    """Return the variables of the places within equal parts of an axis."""
    return None if axis is None else _places(tracker, axis, axis.size // parts)


def _places(tracker: Tracker, axis: Ids | None, part: int) -> Ids | None:
    """Return the variables of the places within equal parts of an axis: the parts themselves stay."""
    if axis is None or part < 2:
        return None
    tracker.splitting(axis)
    places = tracker.variables.fresh(part)
    tracker.variables.tie(axis, np.tile(places, axis.size // part), tracker.at("equal parts of an axis"))
    return places


@rule("tril", "triu")
def triangle(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep two axes whole whose places count; the others pass."""
    x = args[0]
    tracker.freeze(x, "a triangle of this axis", [x.dim() - 2, x.dim() - 1])
    tracker.put(out, [*tracker.axes(x)[:-2], None, None])
