"""Rules of operations on single elements: functions of one tensor, sums, products and choices of two."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Rule, Tracker, rule, unknown
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.operation_calls import tensors_in

# fmt: off
POINTWISE = (
    "relu", "hardtanh", "relu6", "sigmoid", "tanh", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "elu", "celu", "selu",
    "softplus", "mish", "threshold", "clone", "detach", "alias", "_to_copy", "contiguous", "neg", "abs",
    "square", "sqrt", "exp", "erf", "sign", "sin", "cos", "rrelu", "rrelu_with_noise",
    "hardshrink", "softshrink", "log_sigmoid_forward", "log1p", "expm1", "dropout", "native_dropout", "lift_fresh",
    "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "bernoulli", "round", "floor", "ceil", "trunc",
    "frac", "sinh", "cosh", "asinh", "atan", "tan", "sinc", "erfc", "sgn", "nan_to_num", "isnan", "isinf", "isfinite", "logical_not",
    "normal", "uniform", "exponential", "log_normal", "geometric", "cauchy", "random", "normal_functional",
    "bitwise_not", "positive", "exp2", "special_erf", "_conj", "resolve_conj", "angle", "real", "imag", "conj_physical", "fill", "zero",
    "bucketize", "fake_quantize_per_tensor_affine", "fake_quantize_per_tensor_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams", "_fake_quantize_learnable_per_tensor_affine",
    "_fused_moving_avg_obs_fq_helper", "_fused_moving_avg_obs_fq_helper_functional",
)
NOT_FINITE_AT_ZERO = ("log", "log2", "log10", "rsqrt", "reciprocal", "logit", "digamma", "lgamma", "acosh")
COMPARISONS = (
    "ne", "eq", "lt", "gt", "le", "ge", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor",
)
NEW = ("new_zeros", "new_ones", "new_empty", "new_full")
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
        operands = [a for a in args if isinstance(a, Tensor)]
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
rule("mul", "maximum", "minimum", "fmax", "fmin", "_prelu_kernel", "lerp", "hypot", "copysign", "complex", "logaddexp", "logaddexp2")(
    broadcast("product")
)
rule("atan2", "remainder", "fmod", "floor_divide")(broadcast("division"))
rule(*COMPARISONS)(broadcast("comparison"))


@rule("searchsorted")
def search(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """As a comparison with borders, where they are the same for all; borders of each channel stay whole with it."""
    borders, x = args[:2]
    if not isinstance(x, Tensor) or borders.dim() > 1:
        unknown(tracker, "searchsorted", args, kwargs)
    else:
        pointwise(tracker, (x,), kwargs, out)


rule("copy")(broadcast("values written into a tensor"))


@rule(*NOT_FINITE_AT_ZERO)
def not_finite_at_zero(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass every axis through; zeroed channels have to be made zero again."""
    pointwise(tracker, args, kwargs, out)
    for axis, found in enumerate(tracker.axes(out)):
        tracker.mask_output(axis, found)


@rule("pow", "xlogy")
def power(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Zero to a power may be anything but zero."""
    if isinstance(args[0], Tensor) and not (isinstance(args[1], (int, float)) and args[1] > 0):
        broadcast("power")(tracker, args, kwargs, out)
        for axis, found in enumerate(tracker.axes(out)):
            tracker.mask_output(axis, found)
    else:
        broadcast("power")(tracker, args, kwargs, out)


@rule(*NEW)
def made_like(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Take the length of an axis where the new tensor has as many axes; its values are nobody's. Zeros are as wide as what they meet."""
    known, zeros = tracker.axes(args[0]), tracker.call[1] == "new_zeros"
    same = [False] * out.dim()
    if out.dim() == len(known):
        same = [found is not None and size == own for found, size, own in zip(known, out.shape, args[0].shape, strict=True)]
    made = tracker.variables.fresh
    tracker.put(out, [made(size) if here else tracker.blank(size) if zeros else None for here, size in zip(same, out.shape, strict=True)])


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


@rule("masked_fill", "where", "clamp", "clamp_min", "clamp_max")
def choose(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Tie all that is as long as the result, along every axis: a mask without channels must not tell channels apart."""
    if isinstance(out, Tensor) and isinstance(args[0], Tensor) and len(tensors_in(args)) + len(tensors_in(kwargs)) > 1:
        broadcast("a choice between values")(tracker, (*args, *kwargs.values()), {}, out)
    elif isinstance(out, Tensor):
        pointwise(tracker, args, kwargs, out)
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
    broadcast("addition")(tracker, args, {}, out)


@rule("addcdiv")
def addcdiv(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x + a / b``: a removed divisor would be zero."""
    addcmul(tracker, args, kwargs, out)
    for axis, found in enumerate(tracker.axes(out)):
        tracker.mask_output(axis, found)
