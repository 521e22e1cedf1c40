"""Rules of convolutions, matrix products and Fourier transforms, with the complex numbers that these give."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, rule
from prunekit.pruning.structured.coupling_solver import IMMOVABLE, Ids
from prunekit.pruning.structured.operation_calls import is_weight
from prunekit.pruning.structured.rules.elementwise import broadcast
from prunekit.pruning.structured.rules.shapes import halves


@rule("convolution", "_convolution")
def convolution(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Take rows of the weight as outputs, columns as inputs; groups go whole, or one position goes from each of them."""
    x, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    x_axes, weight_axes = tracker.axes(x), tracker.axes(weight)
    tracker.freeze(x, "a convolution over this axis", [0, *range(2, x.dim())])
    if transposed:
        outputs = _transposed(tracker, x_axes[1], weight, groups)
    else:
        outputs, columns = weight_axes[:2]
        if outputs is None and weight.shape[:2] == (groups, 1):  # a filter that forward() makes: as wide as what it meets
            outputs, columns = tracker.blank(groups), np.full(1, IMMOVABLE)
        elif columns is None and weight.shape[1] == 1:  # brought into shape in forward()
            columns = np.full(1, IMMOVABLE)
        if groups > 1 and outputs is not None and columns is not None:
            _grouped(tracker, x_axes[1], outputs, columns, (groups, tracker.owner(weight)))
        else:
            tracker.tie(x_axes[1], weight_axes[1], "convolution")
    tracker.makes(weight, outputs)
    if bias is not None:
        tracker.tie(outputs, tracker.axes(bias)[0], "bias")
    tracker.put(out, [None, outputs, *[None] * (out.dim() - 2)])


@rule("deform_conv2d")
def deformed(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Convolve at places that are computed, which stay; as many channels share each of them."""
    x, weight, offset, mask, bias, *_, groups, shared, _ = args
    for places in (offset, mask):
        tracker.freeze(places, "places to sample at")
    if shared > 1:
        halves(tracker, tracker.axes(x)[1], shared)
    convolution(tracker, (x, weight, bias, None, None, None, False, None, groups), kwargs, out)


def _transposed(tracker: Tracker, x: Ids | None, weight: Tensor, groups: int) -> Ids | None:
    """Relate the input and the weight of a transposed convolution, ``[in, out / groups, ...]``, and return its outputs."""
    rows, columns = tracker.axes(weight)[:2]
    if groups == 1 or rows is None or columns is None:
        tracker.tie(x, rows, "convolution")
        return columns
    variables, reason = tracker.variables, tracker.at("grouped convolution")
    group, inner = tracker.grouped.setdefault(tracker.owner(weight), variables.fresh(groups)), rows.size // groups
    variables.tie(rows, variables.outer(group, variables.fresh(inner) if inner > 1 else np.full(1, IMMOVABLE)), reason)
    tracker.tie(x, rows, "convolution")
    if columns.size == 1:
        variables.freeze(columns, reason)
    return variables.outer(group, columns if columns.size > 1 else np.full(1, IMMOVABLE))


def _grouped(tracker: Tracker, x: Ids | None, rows: Ids, columns: Ids, told: tuple[int, str]) -> None:
    """Relate the input, the rows and the columns of a grouped convolution: so many groups, of so called a module."""
    groups, module = told
    variables, reason = tracker.variables, tracker.at("depthwise convolution" if columns.size == 1 else "grouped convolution")
    if columns.size == 1:
        variables.freeze(columns, reason)
    group = tracker.grouped.setdefault(module, variables.fresh(groups))
    group = group if group.size == groups else variables.fresh(groups)  # of several that one module runs itself
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
    tracker.tie(x_axes[-1], columns, "matrix product")
    if len(args) > 2 and args[2] is not None:
        tracker.tie(rows, tracker.axes(args[2])[0], "bias")
    tracker.makes(args[1], rows)
    tracker.put(out, [*x_axes[:-1], rows])


@rule("mm", "bmm")
def matmul(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x @ w``: the inner axes are one, those of a batch too."""
    _product(tracker, args[0], args[1], out)
    if not is_weight(args[1]):  # a weight's own columns are zero where what they read goes
        tracker.heads += [found for found in tracker.axes(out)[:-2] if found is not None]
        tracker.mask_input(0, args[0].dim() - 1, tracker.axes(args[0])[-1])


@rule("baddbmm")
def baddbmm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``bias + x @ w`` for a batch."""
    _product(tracker, args[1], args[2], out)
    if not is_weight(args[2]):
        tracker.heads += [found for found in tracker.axes(args[1])[:1] if found is not None]
        tracker.mask_input(1, 2, tracker.axes(args[1])[-1])
    broadcast("addition")(tracker, (args[0], out), kwargs, out)


def _product(tracker: Tracker, x: Tensor, w: Tensor, out: Tensor) -> None:
    """Relate the axes of a matrix product."""
    left, right = tracker.axes(x), tracker.axes(w)
    tracker.tie(left[-1], right[-2], "matrix product")
    tracker.makes(w, right[-1])
    batch = [tracker.tie(a, b, "matrix product") for a, b in zip(left[:-2], right[:-2], strict=True)]
    tracker.put(out, [*batch, left[-2], right[-1]])


@rule("_grouped_mm", "grouped_mm_fallback")
def experts(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Multiply runs of rows of ``x`` with one matrix each of ``w``: those of experts, which go with what chooses them."""
    left, (packed, into, outputs) = tracker.axes(args[0]), tracker.axes(args[1])
    if not tracker.route(packed):
        tracker.freeze(args[1], "experts that are chosen otherwise than by the largest", [0])
    tracker.tie(left[-1], into, "matrix product")
    tracker.multiples += [(ids, 16 // args[0].element_size()) for ids in (into, outputs) if ids is not None]  # rows begin at whole 16 bytes
    tracker.makes(args[1], outputs)
    tracker.put(out, [left[0], outputs])


@rule("_trilinear")
def trilinear(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Multiply three tensors that are brought to the same axes, and add up along some: a bilinear layer."""
    spread = [list(tracker.axes(factor)) for factor in args[:3]]
    for axes, new in zip(spread, args[3:6], strict=True):
        for place in sorted(new):
            axes.insert(place, None)
    lengths = [[axis for axis in range(len(spread[0])) if axis not in new] for new in args[3:6]]
    joined: list[Ids | None] = []
    for axis in range(len(spread[0])):
        first, *rest = [axes[axis] for axes, own in zip(spread, lengths, strict=True) if axis in own]
        for other in rest:
            first = tracker.tie(first, other, "matrix product")
        joined.append(first)
    tracker.makes(args[1], joined[1])
    tracker.put(out, [found for axis, found in enumerate(joined) if axis not in args[6]])


@rule("mv", "dot", "vdot")
def vector(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x @ w`` with a vector."""
    axes = tracker.axes(args[0])
    tracker.tie(axes[-1], tracker.axes(args[1])[0], "matrix product")
    tracker.mask_input(0, args[0].dim() - 1, axes[-1])
    tracker.put(out, axes[:-1])


@rule("_cdist_forward")
def distance(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Distances between rows: what is zero in both adds nothing."""
    left, right = tracker.axes(args[0]), tracker.axes(args[1])
    same = tracker.tie(left[-1], right[-1], "distance")
    for argument in (0, 1):
        tracker.mask_input(argument, args[argument].dim() - 1, same)
    tracker.put(out, [*[None] * (out.dim() - 2), left[-2], right[-2]])


@rule("view_as_real")
def view_as_real(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Real and imaginary parts stand along a new axis, which stays."""
    tracker.put(out, [*tracker.axes(args[0]), None])


@rule("view_as_complex")
def view_as_complex(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep the last axis, which holds real and imaginary parts."""
    tracker.freeze(args[0], "real and imaginary parts", [args[0].dim() - 1])
    tracker.put(out, tracker.axes(args[0])[:-1])


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def spectrum(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep the axes that are transformed; the others pass."""
    dims = {d % args[0].dim() for d in args[1]}
    tracker.freeze(args[0], "a Fourier transform along this axis", sorted(dims))
    tracker.put(out, [None if a in dims else found for a, found in enumerate(tracker.axes(args[0]))])
