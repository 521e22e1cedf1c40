"""Rules of operations that pick elements by number, or change their order along an axis."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, is_weight, rule, tensors_in, unknown
from prunekit.pruning.structured.coupling_solver import Ids


@rule("select", "unbind")
def pick(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep an axis whole of which single elements are picked; the others pass."""
    x, dim = args[0], (args[1] if len(args) > 1 else 0) % args[0].dim()
    tracker.freeze(x, "single elements are picked from this axis", [dim])
    for result in tensors_in(out):
        tracker.put(result, [f for a, f in enumerate(tracker.axes(x)) if a != dim])


@rule("index", "embedding")
def look_up(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Rows are picked by a table of numbers: that axis stays whole, the others pass."""
    x = args[0]
    told = [args[1]] if isinstance(args[1], Tensor) else list(args[1])
    places = [a for a, index in enumerate(told) if index is not None]
    if len(places) != 1 or not told[places[0]].dtype.is_signed or told[places[0]].dtype.is_floating_point:
        unknown(tracker, "index", args, kwargs)
        return
    (dim,), axes = places, list(tracker.axes(x))
    if not (dim == 0 and x.dim() > 1 and is_weight(x) and tracker.route(axes[dim])):
        tracker.freeze(x, "rows are picked by number", [dim])
    if x.dim() == 2:
        tracker.makes(x, axes[1 - dim])
    tracker.put(out, [*axes[:dim], *[None] * told[dim].dim(), *axes[dim + 1 :]])


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Rows are picked and joined by number; the width passes."""
    tracker.freeze(args[0], "rows are picked by number", [0])
    tracker.makes(args[0], tracker.axes(args[0])[1])
    tracker.put(out[0], [None, tracker.axes(args[0])[1]])


@rule("gather", "take_along_dim")
def gather(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Elements are picked along one axis, which stays; along the others the table of numbers is as long."""
    x, dim, index = args[0], args[1] % args[0].dim(), args[2]
    chosen, along = tracker.chosen_by(index), tracker.axes(x)[dim]
    if chosen is not None and along is not None and chosen.size == along.size:
        tracker.variables.tie(along, chosen, tracker.at("choice of the largest"))
    else:
        tracker.freeze(x, "elements are picked from this axis", [dim])
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
