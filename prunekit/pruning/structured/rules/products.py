"""Rules of convolutions and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, is_weight, rule, unknown
from prunekit.pruning.structured.coupling_solver import IMMOVABLE, Ids
from prunekit.pruning.structured.rules.elementwise import broadcast


@rule("convolution", "_convolution")
def convolution(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Take rows of the weight as outputs, columns as inputs; groups go whole, or one position goes from each of them."""
    x, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    x_axes, weight_axes = tracker.axes(x), tracker.axes(weight)
    if transposed:
        unknown(tracker, "transposed convolution", args, kwargs)
        return
    tracker.freeze(x, "a convolution over this axis", [0, *range(2, x.dim())])
    rows, columns = weight_axes[0], weight_axes[1]
    if groups > 1 and rows is not None and columns is not None:
        _grouped(tracker, x_axes[1], rows, columns, groups)
    else:
        tracker.tie(x_axes[1], columns, "input of")
    if bias is not None:
        tracker.tie(rows, tracker.axes(bias)[0], "bias")
    tracker.put(out, [None, rows, *[None] * (out.dim() - 2)])


def _grouped(tracker: Tracker, x: Ids | None, rows: Ids, columns: Ids, groups: int) -> None:
    """Relate the input, the rows and the columns of a grouped convolution."""
    variables, reason = tracker.variables, tracker.at("depthwise convolution" if columns.size == 1 else "grouped convolution")
    if columns.size == 1:
        variables.freeze(columns, reason)
    group = tracker.grouped.setdefault(tracker.where, variables.fresh(groups))
    inner = np.full(1, IMMOVABLE) if columns.size == 1 else columns
    into = variables.outer(group, inner)
    if x is None:
        variables.freeze(into, reason)
    else:
        variables.tie(x, into, reason)
    per_group = rows.size // groups
    variables.tie(rows, variables.outer(group, variables.fresh(per_group) if per_group > 1 else np.full(1, IMMOVABLE)), reason)


@rule("addmm")
def addmm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``bias + x @ w``: the inner axes are one."""
    bias, x, w = args[:3]
    _product(tracker, x, w, out)
    tracker.put(out, [tracker.axes(x)[0], tracker.tie(tracker.axes(w)[1], tracker.axes(bias)[-1], "bias")])


@rule("linear")
def linear(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x @ w.T + bias``, where torch does not take it apart."""
    x_axes, (rows, columns) = tracker.axes(args[0]), tracker.axes(args[1])
    tracker.tie(x_axes[-1], columns, "input of")
    if len(args) > 2 and args[2] is not None:
        tracker.tie(rows, tracker.axes(args[2])[0], "bias")
    tracker.put(out, [*x_axes[:-1], rows])


@rule("mm", "bmm")
def matmul(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x @ w``: the inner axes are one, those of a batch too."""
    _product(tracker, args[0], args[1], out)
    if not is_weight(args[1]):  # a weight's own columns are zero where what they read goes
        tracker.mask_input(0, args[0].dim() - 1, tracker.axes(args[0])[-1])


@rule("baddbmm")
def baddbmm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``bias + x @ w`` for a batch."""
    _product(tracker, args[1], args[2], out)
    if not is_weight(args[2]):
        tracker.mask_input(1, 2, tracker.axes(args[1])[-1])
    broadcast("addition")(tracker, (args[0], out), kwargs, out)


def _product(tracker: Tracker, x: Tensor, w: Tensor, out: Tensor) -> None:
    """Relate the axes of a matrix product."""
    left, right = tracker.axes(x), tracker.axes(w)
    tracker.tie(left[-1], right[-2], "input of")
    batch = [tracker.tie(a, b, "batch of a product") for a, b in zip(left[:-2], right[:-2], strict=True)]
    tracker.put(out, [*batch, left[-2], right[-1]])
