"""Rules of operations that take statistics: norms, pooling windows, means, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from prunekit.pruning.structured.axis_tracker import Rule, Tracker, rule, tensors_in
from prunekit.pruning.structured.coupling_solver import IMMOVABLE

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
    tracker.put(out[0], tracker.axes(args[0]))


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
rule(
    *("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d"),
    *("upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d", "replication_pad2d"),
)(_pool(2))
rule("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "upsample_nearest3d")(_pool(3))


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


@rule("mean", "amax", "amin", "max", "min", "var_mean", "var", "std", "std_mean", "argmax", "logsumexp")
def reduce(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Reduced axes mix all their elements: they stay."""
    gone = _reduced(args[0], args, kwargs)
    for axis in sorted(gone):
        for result in tensors_in(out):
            tracker.freeze_if_used(result, tracker.axes(args[0])[axis], "a mean over this axis")
    _left(tracker, args[0], gone, out)


@rule("sum", "linalg_vector_norm", "norm")
def add_up(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let go what adds nothing, being zero."""
    gone = _reduced(args[0], args, kwargs)
    for axis in gone:
        tracker.mask_input(0, axis, tracker.axes(args[0])[axis])
    _left(tracker, args[0], gone, out)


@rule("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax", "cumsum", "sort", "topk", "glu")
def normalise(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """One axis mixes and stays; the others pass."""
    x, dim = args[0], (args[1] if len(args) > 1 and isinstance(args[1], int) else -1) % args[0].dim()
    tracker.freeze(x, "a softmax over this axis", [dim])
    for result in tensors_in(out):
        tracker.put(result, [None if a == dim else found for a, found in enumerate(tracker.axes(x))])
