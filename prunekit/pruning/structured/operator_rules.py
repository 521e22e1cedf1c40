"""How each operation carries channels from its inputs to its output: one function an operation.

A rule sees the operation's real arguments on the meta device and looks up the variables of their axes in the tracker. An axis without
variables (``None``) is immovable. What has no rule freezes whatever it touches, visibly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Rule, Tracker, is_weight, rule, tensors_in, unknown
from prunekit.pruning.structured.coupling_solver import IMMOVABLE, Ids

# fmt: off
POINTWISE = (
    "relu", "hardtanh", "relu6", "sigmoid", "tanh", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "elu", "celu", "selu",
    "softplus", "mish", "threshold", "clamp", "clamp_min", "clamp_max", "clone", "detach", "alias", "_to_copy", "contiguous", "neg", "abs",
    "square", "sqrt", "exp", "erf", "sign", "sin", "cos", "rrelu",
    "hardshrink", "softshrink", "log_sigmoid_forward", "log1p", "expm1", "dropout", "native_dropout", "lift_fresh",
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "bernoulli",
)
NOT_FINITE_AT_ZERO = ("log", "log2", "rsqrt", "reciprocal", "pow")
VALUES_ONLY = (  # what comes out has nothing of the channels that went in
    "new_zeros", "new_ones", "new_empty", "new_full", "fill", "zero", "ne", "eq", "lt", "gt", "le", "ge", "isnan", "sym_size",
)
# fmt: on


@rule(*POINTWISE)
def pointwise(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass every axis through."""
    axes = tracker.axes(args[0])
    for result in tensors_in(out):
        if result.dim() == len(axes):
            tracker.put(result, axes)


def _broadcast(reason: str) -> Rule:
    """Return the rule of an operation on two tensors: tie their axes, aligned from the right; one of length one follows the other."""

    def broadcast(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        operands = [a for a in args[:2] if isinstance(a, Tensor)]
        axes: list[Ids | None] = []
        for back in range(out.dim(), 0, -1):
            here = [(t.shape[-back], tracker.axes(t)[-back]) for t in operands if t.dim() >= back]
            first, *rest = [found for size, found in here if size == out.shape[-back]]
            for other in rest:
                first = tracker.tie(first, other, reason)
            for size, found in here:
                if size != out.shape[-back] and found is not None:
                    tracker.variables.freeze(found, tracker.at("a broadcast axis"))
            axes.append(first)
        tracker.put(out, axes)

    return broadcast


rule("add", "sub", "rsub")(_broadcast("addition"))
rule("mul", "maximum", "minimum")(_broadcast("product"))


@rule(*NOT_FINITE_AT_ZERO)
def not_finite_at_zero(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass every axis through; zeroed channels have to be made zero again."""
    pointwise(tracker, args, kwargs, out)
    for axis, found in enumerate(tracker.axes(out)):
        tracker.mask_output(axis, found)


@rule(*VALUES_ONLY)
def values_only(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Take nothing along."""


@rule("div", "true_divide")
def divide(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """As a product; a removed divisor would be zero, so the quotient is made zero there."""
    if isinstance(args[1], Tensor) and args[1].dim():
        _broadcast("division")(tracker, args, kwargs, out)
        for axis, found in enumerate(tracker.axes(args[1])[-out.dim() :]):
            if found is not None:
                tracker.mask_output(axis + out.dim() - args[1].dim(), found)
    else:
        pointwise(tracker, args, kwargs, out)


@rule("masked_fill", "where")
def choose(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Tie all that is as long as the result, along every axis."""
    operands = tuple(a for a in args if isinstance(a, Tensor) and a.dim() and any(x is not None for x in tracker.axes(a)))
    first = _broadcast("a choice between values")
    if len(operands) == 2:
        first(tracker, operands, kwargs, out)
    elif len(operands) == 1 and operands[0].shape == out.shape:
        # a mask without channels must not tell channels apart
        others = [a for a in args if isinstance(a, Tensor) and a is not operands[0]]
        for axis in range(out.dim()):
            if any(o.dim() >= out.dim() - axis and o.shape[axis - out.dim()] > 1 for o in others):
                tracker.freeze(operands[0], "a choice that looks at this axis", [axis])
        pointwise(tracker, operands, kwargs, out)
    else:
        unknown(tracker, "where", args, kwargs)


@rule("as_strided")
def restride(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass through a change of memory layout; a change of shape is not followed."""
    if out.shape == args[0].shape:
        pointwise(tracker, args, kwargs, out)
    else:
        unknown(tracker, "as_strided", args, kwargs)


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


@rule("addcmul")
def addcmul(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x + a * b``, all of which may broadcast."""
    product = args[1] * args[2]
    _broadcast("product")(tracker, args[1:3], kwargs, product)
    _broadcast("addition")(tracker, (args[0], product), kwargs, out)


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
    _broadcast("addition")(tracker, (args[0], out), kwargs, out)


def _product(tracker: Tracker, x: Tensor, w: Tensor, out: Tensor) -> None:
    """Relate the axes of a matrix product."""
    left, right = tracker.axes(x), tracker.axes(w)
    tracker.tie(left[-1], right[-2], "input of")
    batch = [tracker.tie(a, b, "batch of a product") for a, b in zip(left[:-2], right[:-2], strict=True)]
    tracker.put(out, [*batch, left[-2], right[-1]])
