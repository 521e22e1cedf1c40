"""How each operation carries channels from its inputs to its output: one function an operation.

A rule sees the operation's real arguments on the meta device and looks up the variables of their axes in the tracker. An axis without
variables (``None``) is immovable. What has no rule freezes whatever it touches, visibly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.reshaping import reshaped
from prunekit.pruning.solve import IMMOVABLE, Ids
from prunekit.pruning.tracker import Rule, Tracker, rule, tensors_in, unknown

# fmt: off
POINTWISE = (
    "relu", "hardtanh", "relu6", "sigmoid", "tanh", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "elu", "celu", "selu",
    "softplus", "mish", "threshold", "clamp", "clamp_min", "clamp_max", "clone", "detach", "alias", "_to_copy", "contiguous", "neg", "abs",
    "square", "sqrt", "exp", "erf", "sign", "dropout", "native_dropout", "lift_fresh",
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "bernoulli",
)
BATCH_NORM = (
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit_functional",
    "_batch_norm_with_update", "_batch_norm_no_update", "cudnn_batch_norm",
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


@rule("div", "true_divide")
def divide(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass through where the divisor is one number; a removed divisor would be zero, so channels in it stay."""
    if isinstance(args[1], Tensor):
        tracker.freeze(args[1], "a division by this axis")
    if isinstance(args[1], Tensor) and args[1].dim():
        _broadcast("division")(tracker, args, kwargs, out)
    else:
        pointwise(tracker, args, kwargs, out)


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


@rule("mm", "bmm")
def matmul(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``x @ w``: the inner axes are one, those of a batch too."""
    _product(tracker, args[0], args[1], out)


def _product(tracker: Tracker, x: Tensor, w: Tensor, out: Tensor) -> None:
    """Relate the axes of a matrix product."""
    left, right = tracker.axes(x), tracker.axes(w)
    tracker.tie(left[-1], right[-2], "input of")
    batch = [tracker.tie(a, b, "batch of a product") for a, b in zip(left[:-2], right[:-2], strict=True)]
    tracker.put(out, [*batch, left[-2], right[-1]])


@rule(*BATCH_NORM)
def batch_norm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Scale, shift and statistics follow the channel."""
    x_axes = tracker.axes(args[0])
    for parameter in args[1:5]:
        if isinstance(parameter, Tensor):
            tracker.tie(x_axes[1], tracker.axes(parameter)[0], "batch norm")
    tracker.put(out[0], x_axes)


def _pool(spatial: int) -> Rule:
    """Return the rule of a window over ``spatial`` axes: channels pass, positions mix."""

    def pool(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        x = args[0]
        passing = range(x.dim() - spatial)
        tracker.freeze(x, "a pooling window", [a for a in range(x.dim()) if a not in passing])
        for result in tensors_in(out):
            tracker.put(result, [tracker.axes(x)[a] if a in passing else None for a in range(result.dim())])

    return pool


rule("avg_pool1d", "adaptive_avg_pool1d", "upsample_nearest1d", "upsample_linear1d")(_pool(1))
rule("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d")(
    _pool(2)
)
rule("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "upsample_nearest3d")(_pool(3))


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


@rule("mean", "sum", "amax", "amin", "var_mean", "linalg_vector_norm")
def reduce(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Reduced axes mix all their elements: they stay."""
    x, result = args[0], tensors_in(out)
    dims = next((a for a in args[1:] if isinstance(a, (list, tuple))), None)
    gone = {d % x.dim() for d in dims} if dims else set(range(x.dim()))
    tracker.freeze(x, "a mean or sum over this axis", sorted(gone))
    keep = [None if a in gone else found for a, found in enumerate(tracker.axes(x))]
    for tensor in result:
        tracker.put(tensor, keep if tensor.dim() == x.dim() else [f for a, f in enumerate(keep) if a not in gone])


@rule("_softmax", "_log_softmax", "softmax", "log_softmax", "cumsum")
def normalise(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One axis mixes and stays; the others pass."""
    x, dim = args[0], args[1] % args[0].dim()
    tracker.freeze(x, "a softmax over this axis", [dim])
    tracker.put(out, [None if a == dim else found for a, found in enumerate(tracker.axes(x))])


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten")
def view(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Merge and split axes."""
    tracker.put(out, reshaped(tracker.variables, tracker.axes(args[0]), tuple(args[0].shape), tuple(out.shape)))


@rule("permute", "transpose", "t", "numpy_T", "movedim")
def rearrange(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes change places: read where each went from a tensor that numbers them."""
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


@rule("squeeze", "unsqueeze", "expand")
def singletons(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes of length one come, go or repeat; the wider ones keep their order."""
    x, axes = args[0], tracker.axes(args[0])
    if out.dim() >= x.dim() and all(size in (1, new) for size, new in zip(reversed(x.shape), reversed(out.shape), strict=False)):
        aligned = [None] * (out.dim() - x.dim()) + [f if s > 1 else None for f, s in zip(axes, x.shape, strict=True)]
        tracker.put(out, aligned)
        return
    wide = iter([f for f, s in zip(axes, x.shape, strict=True) if s > 1])
    tracker.put(out, [next(wide) if size > 1 else None for size in out.shape])


@rule("slice", "narrow", "select", "constant_pad_nd", "split", "split_with_sizes", "chunk", "unbind")
def pieces(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Axes that keep their length pass; those that are cut or padded stay whole."""
    x, results = args[0], tensors_in(out)
    same = all(r.dim() == x.dim() for r in results)
    kept = [same and all(r.shape[a] == x.shape[a] for r in results) for a in range(x.dim())]
    tracker.freeze(x, "an axis that is sliced, split or padded", [a for a, ok in enumerate(kept) if not ok])
    for result in results:
        if same:
            tracker.put(result, [f if ok else None for f, ok in zip(tracker.axes(x), kept, strict=True)])


@rule("flip", "roll", "index_select")
def reorder(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep an axis whole whose elements change places; the others pass."""
    x = args[0]
    told = args[2] if len(args) > 2 and out.shape == x.shape and not isinstance(args[2], Tensor) else args[1]
    dims = {d % x.dim() for d in (told if isinstance(told, (list, tuple)) else [told])} or set(range(x.dim()))
    tracker.freeze(x, "a change of order along this axis", sorted(dims))
    tracker.put(out, [None if a in dims else found for a, found in enumerate(tracker.axes(x))])
