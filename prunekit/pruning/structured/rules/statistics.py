"""Rules of operations that take statistics: norms, pooling windows, means, softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Tracker, rule
from prunekit.pruning.structured.coupling_solver import IMMOVABLE
from prunekit.pruning.structured.hand_written_norms import MEAN, SHARES, SPREAD, SQUARE
from prunekit.pruning.structured.operation_calls import tensors_in
from prunekit.pruning.structured.rules.elementwise import broadcast
from prunekit.pruning.structured.rules.shapes import halves

# fmt: off
BATCH_NORM = (
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit_functional",
    "_batch_norm_with_update", "_batch_norm_no_update", "cudnn_batch_norm",
)
# fmt: on


@rule(*BATCH_NORM)
def batch_norm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Scale, shift and statistics follow the channel."""
    x_axes = tracker.axes(args[0])
    for parameter in args[1:5]:
        if isinstance(parameter, Tensor):
            tracker.tie(x_axes[1], tracker.axes(parameter)[0], "batch norm")
    if args[3] is None:  # statistics of this very tensor, such as a weight that is standardised before it is used
        tracker.freeze(args[0], "statistics over this axis", [a for a in range(args[0].dim()) if a != 1])
    if x_axes[1] is not None and args[1] is None and args[3] is None:  # else a parameter's shape tells
        tracker.lengths.setdefault(tracker.where, np.unique(x_axes[1]))
    tracker.put(out[0], x_axes)


@rule("native_layer_norm", "_fused_rms_norm")
def layer_norm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One axis: its statistics are those of what stays. Several axes mix, and stay."""
    x, shape, parameters = args[0], args[1], [p for p in args[2:4] if isinstance(p, Tensor) and p.dim()]
    axes = list(tracker.axes(x))
    if len(shape) > 1:
        reason = "a norm over several axes"
        for tensor in (x, *parameters):
            tracker.freeze(tensor, reason, range(tensor.dim() - len(shape), tensor.dim()))
        axes[-len(shape) :] = [None] * len(shape)
    for parameter in parameters if len(shape) == 1 else []:
        axes[-1] = tracker.tie(axes[-1], tracker.axes(parameter)[0], "layer norm")
    tracker.norm(axes[-1])
    if axes[-1] is not None:
        tracker.lengths.setdefault(tracker.where, axes[-1])
    tracker.put(out[0] if isinstance(out, (tuple, list)) else out, axes)


@rule("native_group_norm")
def group_norm(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Whole groups go, or one place in each of them: every group takes statistics of as many channels."""
    x, parameters, groups = args[0], [p for p in args[1:3] if isinstance(p, Tensor)], args[6]
    channels = tracker.axes(x)[1]
    for parameter in parameters:
        channels = tracker.tie(channels, tracker.axes(parameter)[0], "group norm")
    if channels is not None and 1 < groups < channels.size:
        group = tracker.grouped.setdefault(tracker.where, tracker.variables.fresh(groups))
        places = tracker.variables.fresh(channels.size // groups)
        tracker.variables.tie(channels, tracker.variables.outer(group, places), tracker.at("group norm"))
    elif channels is not None and groups > 1:
        group = tracker.grouped.setdefault(tracker.where, tracker.variables.fresh(groups))
        tracker.variables.tie(channels, tracker.variables.outer(group, np.full(1, IMMOVABLE)), tracker.at("group norm"))
    tracker.norm(channels, groups)
    tracker.put(out[0], [tracker.axes(x)[0], channels, *tracker.axes(x)[2:]])


@rule("fake_quantize_per_channel_affine", "fake_quantize_per_channel_affine_cachemask", "_fake_quantize_learnable_per_channel_affine")
def fake_quant_by_channel(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Round to steps of each channel's own."""
    x, axis = args[0], args[3]
    for told in args[1:3]:
        tracker.tie(tracker.axes(x)[axis], tracker.axes(told)[0], "fake quantisation")
    for result in tensors_in(out):
        tracker.put(result, tracker.axes(x))


def _reduced(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
    """Return the axes that a reduction takes together."""
    dims = next((a for a in args[1:] if isinstance(a, (list, tuple))), kwargs.get("dim"))
    if dims is None and len(args) > 1 and isinstance(args[1], int):
        dims = [args[1]]
    dims = [dims] if isinstance(dims, int) else dims
    return {d % x.dim() for d in dims} if dims else set(range(x.dim()))


def _left(tracker: Tracker, x: Tensor, gone: set[int], out: Any) -> None:
    """Put the axes that a reduction leaves."""
    keep = [None if a in gone else found for a, found in enumerate(tracker.axes(x))]
    for tensor in tensors_in(out):
        tracker.put(tensor, keep if tensor.dim() == x.dim() else [f for a, f in enumerate(keep) if a not in gone])


KINDS = {
    **dict.fromkeys(("amax", "max", "argmax"), "the largest"),
    **dict.fromkeys(("amin", "min", "argmin"), "the smallest"),
    **dict.fromkeys(("var", "var_mean"), "a variance"),
    **dict.fromkeys(("std", "std_mean"), "a deviation"),
    **{"logsumexp": "a sum of exponentials", "prod": "a product", "median": "a median"},
}  # what reasons say
SPREADS = {"var": SQUARE, "std": SPREAD, "var_mean": SQUARE, "std_mean": SPREAD}


@rule(
    "mean",
    "amax",
    "amin",
    "max",
    "min",
    "var_mean",
    "var",
    "std",
    "std_mean",
    "argmax",
    "argmin",
    "logsumexp",
    "prod",
    "median",
)
def reduce(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Reduced axes mix all their elements: they stay, but where a norm, or a scale of weights, is written with a mean."""
    x, name = args[0], tracker.call[1]
    if isinstance(out, Tensor) and len(args) > 1 and isinstance(args[1], Tensor):
        broadcast("product")(tracker, args, kwargs, out)
        return
    gone = _reduced(x, args, kwargs)
    carrying = [axis for axis in sorted(gone) if tracker.axes(x)[axis] is not None]
    largest = name in {"amax", "max"} and isinstance(out, Tensor) and tracker.pending.of_sizes(x)
    scale = name not in {"argmax", "argmin", "prod"} and tracker.pending.of_weights(x)
    for axis, found in enumerate(tracker.axes(x)):
        if scale and found is not None and axis in gone:
            tracker.statistic(axis, found)
    for axis in () if scale or largest else carrying:
        found = tracker.axes(x)[axis]
        for place, result in enumerate(tensors_in(out)):
            kind = MEAN if name == "mean" or place else SPREADS.get(name, "")
            tracker.pending.add(
                result, found, tracker.at(f"{KINDS.get(name, 'a mean')} over this axis"), x, kind if len(carrying) == 1 else ""
            )
        if len(carrying) == 1 and found is not None and (name == "mean" or name in SPREADS):
            correction = kwargs.get("correction")
            least = 1 + math.ceil(1 if correction is None else correction) if name in SPREADS else 1  # of fewer there is no deviation
            tracker.statistic(axis, found, least)
            tracker.lengths.setdefault(tracker.where, found)
    _left(tracker, x, gone, out)


@rule("all", "any", "_is_all_true", "_is_any_true")
def check(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let go what is asked whether it is so: of zeros such checks say what is usual, and where they do not the proof tells."""
    _left(tracker, args[0], _reduced(args[0], args, kwargs), out)


@rule("_assert_async", "_functional_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range")
def nothing(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pass over a check, which makes nothing."""


@rule("sum", "linalg_vector_norm", "norm")
def add_up(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let go what adds nothing, being zero."""
    gone = _reduced(args[0], args, kwargs)
    for axis in gone:
        tracker.mask_input(0, axis, tracker.axes(args[0])[axis])
    _left(tracker, args[0], gone, out)


SOFTMAX = "a softmax"


def _along(told: str, names: tuple[str, ...], place: int = 1) -> None:
    """Register operations that mix one axis, which stays, and let the others pass; ``place`` is where the axis stands."""

    def normalise(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        x, given = args[0], kwargs.get("dim", args[place] if len(args) > place else None)
        dim = (-1 if given is None or isinstance(given, bool) else given) % x.dim()
        if told == SOFTMAX:
            found = tracker.axes(x)[dim]
            if found is not None:
                tracker.choose(dim, found)
            tracker.pending.add(out, found, tracker.at(f"{told} over this axis"), x, SHARES)
            tracker.put(out, tracker.axes(x))
            return
        tracker.freeze(x, f"{told} over this axis", [dim])
        for result in tensors_in(out):
            tracker.put(result, [None if a == dim else found for a, found in enumerate(tracker.axes(x))])

    rule(*names)(normalise)


_along(SOFTMAX, ("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax"))
_along("a running sum", ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"))
_along("a sort", ("sort", "argsort", "kthvalue_values"))


@rule("topk")
def largest(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Choose along one axis from those that stay; the others pass."""
    x, dim = args[0], (args[2] if len(args) > 2 else -1) % args[0].dim()
    found = tracker.axes(x)[dim]
    if found is not None:
        tracker.choose(dim, found, args[1], out[1])
    for result in out:
        tracker.put(result, [None if a == dim else passing for a, passing in enumerate(tracker.axes(x))])


@rule("glu")
def gated(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One half of an axis gates the other: the same places go in both."""
    x, dim = args[0], (args[1] if len(args) > 1 else -1) % args[0].dim()
    axes = list(tracker.axes(x))
    axes[dim] = halves(tracker, axes[dim], 2)
    tracker.put(out, axes)
