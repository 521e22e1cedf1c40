"""Rules of operations that pick elements by number, or change their order along an axis."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, rule
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.operation_calls import is_weight, tensors_in

MASKS = (torch.bool, torch.uint8)  # an index of these types is a mask: it picks elements of as many axes as it has


@rule("select", "unbind")
def pick(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep an axis whole of which single elements are picked; the others pass."""
    x, dim = args[0], (args[1] if len(args) > 1 else 0) % args[0].dim()
    tracker.freeze(x, "single elements are picked from this axis", [dim])
    for result in tensors_in(out):
        tracker.put(result, [f for a, f in enumerate(tracker.axes(x)) if a != dim])


@rule("index", "embedding")
def look_up(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Rows are picked by tables of numbers, or by masks: their axes stay whole, the others pass."""
    x = args[0]
    told = [args[1]] if isinstance(args[1], Tensor) else list(args[1])
    dims = _picked(told)
    axes = list(tracker.axes(x))
    for index in told:
        if index is not None and index.dtype in MASKS:
            tracker.freeze(index, "elements are picked by a mask")
    if len(dims) > 1 or not x.dim() > 1 or not (dims == [0] and is_weight(x) and tracker.route(axes[0])):
        tracker.freeze(x, "rows are picked by number", dims)
        for index in told:
            if index is not None:
                tracker.computed(index)
    if x.dim() == 2 and len(dims) == 1:
        tracker.makes(x, axes[1 - dims[0]])
    tracker.put(out, _left(axes, dims, out.dim()))


def _picked(indices: list[Tensor | None]) -> list[int]:
    """Return the axes of which some indices pick elements."""
    wide = [0 if index is None else index.dim() if index.dtype in MASKS else 1 for index in indices]
    starts = itertools.accumulate((many or 1 for many in wide), initial=0)
    return [dim for start, many in zip(starts, wide, strict=False) for dim in range(start, start + many)]


def _left(axes: list[Ids | None], dims: list[int], count: int) -> list[Ids | None]:
    """Return the axes of what is picked: those that are new stand in the place of the first one picked from, or at the front."""
    rest = [found for axis, found in enumerate(axes) if axis not in dims]
    first = dims[0] if dims and all(b - a == 1 for a, b in itertools.pairwise(dims)) else 0
    return [*rest[:first], *[None] * (count - len(rest)), *rest[first:]]


@rule("index_put", "_index_put_impl", "_unsafe_index_put")
def put_in(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One number is written where a mask says; values are written into places by number, whose axes stay whole, the others pass."""
    x, told, values = args[0], list(args[1]), args[2]
    masks = [index for index in told if index is not None]
    if values.numel() == 1 and len(masks) == 1 and told[0] is not None and masks[0].dtype in MASKS:
        found = [tracker.tie(a, b, "a choice between values") for a, b in zip(tracker.axes(x), tracker.axes(masks[0]), strict=False)]
        tracker.put(out, [*found, *tracker.axes(x)[len(found) :]])
        return
    dims, axes = _picked(told), list(tracker.axes(x))
    tracker.freeze(x, "values are written by number", dims)
    for index in masks:
        tracker.freeze(index, "values are written by a mask")
    many = len(axes) - len(dims) + max(1, values.dim() - len(axes) + len(dims))
    into = _left(axes, dims, many)
    for back in range(1, values.dim() + 1):
        if values.shape[-back] > 1:
            tracker.tie(into[-back], tracker.axes(values)[-back], "values written into a tensor")
    tracker.put(out, [None if axis in dims else found for axis, found in enumerate(axes)])


@rule("index_fill")
def fill_places(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One number is written to some places of an axis, which stays; the others pass."""
    axes, dim = list(tracker.axes(args[0])), args[1] % args[0].dim()
    tracker.freeze(args[0], "values are written by number", [dim])
    tracker.put(out, [None if axis == dim else found for axis, found in enumerate(axes)])


@rule("index_add", "index_copy", "index_reduce")
def add_rows(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Values go to places of an axis by number: it stays, of both tensors; along the others they are as long."""
    x, dim, values = args[0], args[1] % args[0].dim(), args[3]
    for tensor in (x, values):
        tracker.freeze(tensor, "values are written by number", [dim])
    pairs = zip(tracker.axes(x), tracker.axes(values), strict=True)
    axes = [None if axis == dim else tracker.tie(a, b, "values written into a tensor") for axis, (a, b) in enumerate(pairs)]
    tracker.put(out, axes)


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Values go to places along one axis, which stays, but where they were chosen from it; along the others all are as long."""
    x, dim, index, source = args[0], args[1] % args[0].dim(), args[2], [a for a in args[3:4] if isinstance(a, Tensor) and a.dim()]
    chosen, along = tracker.chosen_by(index), tracker.axes(x)[dim]
    axes = list(tracker.axes(x))
    if chosen is not None and along is not None and chosen.size == along.size:
        tracker.variables.tie(along, chosen, tracker.at("choice of the largest"))
    else:
        tracker.freeze(x, "values are written by number", [dim])
        tracker.computed(index)
        axes[dim] = None
    for values in (index, *source):
        tracker.freeze(values, "values are written by number", [dim])
        for axis, found in enumerate(tracker.axes(values)):
            if axis != dim and x.shape[axis] == values.shape[axis]:
                axes[axis] = tracker.tie(axes[axis], found, "values written into a tensor")
            elif axis != dim:
                tracker.freeze(x, "values are written by number", [axis])
                tracker.freeze(values, "values are written by number", [axis])
                axes[axis] = None
    tracker.put(out, axes)


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Rows are picked and joined by number; the width passes."""
    tracker.freeze(args[0], "rows are picked by number", [0])
    tracker.makes(args[0], tracker.axes(args[0])[1])
    tracker.put(out[0], [None, tracker.axes(args[0])[1]])


@rule("nonzero", "masked_select")
def pick_by_value(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Elements are told or picked by what they are: no axis of them can shrink."""
    for tensor in tensors_in(args):
        tracker.freeze(tensor, "elements are picked by their values")


@rule("_pack_padded_sequence")
def pack(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Merge samples and steps, as far as each sample goes; what stands at a step passes."""
    tracker.put(out[0], [None, *tracker.axes(args[0])[2:]])


@rule("gather", "take_along_dim")
def gather(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Elements are picked along one axis, which stays; along the others the table of numbers is as long."""
    x, dim, index = args[0], args[1] % args[0].dim(), args[2]
    chosen, along = tracker.chosen_by(index), tracker.axes(x)[dim]
    if chosen is not None and along is not None and chosen.size == along.size:
        tracker.variables.tie(along, chosen, tracker.at("choice of the largest"))
    else:
        tracker.freeze(x, "elements are picked from this axis", [dim])
        tracker.computed(index)
    axes: list[Ids | None] = []
    for axis, (found, wanted) in enumerate(zip(tracker.axes(x), tracker.axes(index), strict=True)):
        same = axis != dim and x.shape[axis] == index.shape[axis]
        axes.append(tracker.tie(found, wanted, "elements picked along another axis") if same else None)
        if axis != dim and not same and found is not None:
            tracker.variables.freeze(found, tracker.at("an axis of which some elements are picked"))
    tracker.put(out, axes)


@rule("flip", "roll", "index_select")
def reorder(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep an axis whole whose elements change places; the others pass."""
    x = args[0]
    told = args[2] if len(args) > 2 and out.shape == x.shape and not isinstance(args[2], Tensor) else args[1]
    dims = {d % x.dim() for d in (told if isinstance(told, (list, tuple)) else [told])} or set(range(x.dim()))
    tracker.freeze(x, "a change of order along this axis", sorted(dims))
    tracker.put(out, [None if a in dims else found for a, found in enumerate(tracker.axes(x))])


@rule("rot90")
def rotate(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep the two axes whole in which elements turn; the others pass."""
    x = args[0]
    dims = {d % x.dim() for d in (args[2] if len(args) > 2 else (0, 1))}
    tracker.freeze(x, "a change of order along this axis", sorted(dims))
    tracker.put(out, [None if a in dims else found for a, found in enumerate(tracker.axes(x))])
