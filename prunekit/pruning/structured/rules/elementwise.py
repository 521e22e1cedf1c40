"""Rules of operations on single elements: functions of one tensor, sums, products and choices of two."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Rule, Tracker, rule, tensors_in, unknown
from prunekit.pruning.structured.coupling_solver import Ids

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


def broadcast(reason: str) -> Rule:
    """Return the rule of an operation on two tensors: tie their axes, aligned from the right; one of length one follows the other."""

    def apply(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
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

    return apply


rule("add", "sub", "rsub")(broadcast("addition"))
rule("mul", "maximum", "minimum")(broadcast("product"))


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
        broadcast("division")(tracker, args, kwargs, out)
        for axis, found in enumerate(tracker.axes(args[1])[-out.dim() :]):
            if found is not None:
                tracker.mask_output(axis + out.dim() - args[1].dim(), found)
    else:
        pointwise(tracker, args, kwargs, out)


@rule("masked_fill", "where")
def choose(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Tie all that is as long as the result, along every axis."""
    operands = tuple(a for a in args if isinstance(a, Tensor) and a.dim() and any(x is not None for x in tracker.axes(a)))
    first = broadcast("a choice between values")
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


@rule("addcmul")
def addcmul(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x + a * b``, all of which may broadcast."""
    product = args[1] * args[2]
    broadcast("product")(tracker, args[1:3], kwargs, product)
    broadcast("addition")(tracker, (args[0], product), kwargs, out)
