"""Rules of windows over positions: pooling, interpolation, padding, sampling, pixels that become channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from prunekit.pruning.structured.axis_tracker import Rule, Tracker, rule
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.operation_calls import tensors_in
from prunekit.pruning.structured.rules.shapes import halves


def _pool(spatial: int) -> Rule:
    """Return the rule of a window over ``spatial`` axes: channels pass, positions mix."""

    def pool(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        x = args[0]
        passing = range(x.dim() - spatial)
        tracker.freeze(x, "a pooling window", [a for a in range(x.dim()) if a not in passing])
        for result in tensors_in(out):
            tracker.put(result, [tracker.axes(x)[a] if a in passing else None for a in range(result.dim())])

    return pool


# fmt: off
rule(
    "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d", "upsample_nearest1d", "upsample_linear1d", "_upsample_nearest_exact1d",
    "reflection_pad1d", "replication_pad1d",
)(_pool(1))
rule(
    "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d",
    "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d", "reflection_pad2d",
    "replication_pad2d", "fractional_max_pool2d", "max_unpool2d",
)(_pool(2))
rule(
    "max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "upsample_nearest3d", "upsample_trilinear3d",
    "_upsample_nearest_exact3d", "reflection_pad3d", "replication_pad3d", "fractional_max_pool3d", "max_unpool3d",
)(_pool(3))
# fmt: on


@rule("grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler")
def grid_sample(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Channels pass; where they are sampled stays."""
    tracker.freeze(args[1], "places to sample at")
    _pool(args[0].dim() - 2)(tracker, args, kwargs, out)


@rule("roi_align", "roi_pool")
def read_boxes(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Channels pass; the boxes under which they are read stay."""
    tracker.freeze(args[1], "boxes to read")
    _pool(2)(tracker, args, kwargs, out)


@rule("ps_roi_align", "ps_roi_pool")
def read_parts_of_boxes(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let each channel be read from as many consecutive ones as a box has cells."""
    x, found = args[0], out[0]
    tracker.freeze(args[1], "boxes to read")
    tracker.freeze(x, "a pooling window", [0, 2, 3])
    channels = _units(tracker, tracker.axes(x)[1], math.prod(found.shape[2:]), "cells of a box")
    tracker.put(found, [None, channels, None, None])


@rule("affine_grid_generator")
def affine_grid(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep what says where to sample."""
    tracker.freeze(args[0], "places to sample at")


def _units(tracker: Tracker, axis: Ids | None, size: int, reason: str) -> Ids | None:
    """Return variables for consecutive runs of ``size`` elements of an axis, each of which goes as one."""
    if axis is None:
        return None
    units = tracker.variables.fresh(axis.size // size)
    tracker.variables.tie(axis, np.repeat(units, size), tracker.at(reason))
    return units


@rule("pixel_shuffle")
def pixel_shuffle(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let square runs of consecutive channels become one channel of a larger image."""
    x, axes = args[0], tracker.axes(args[0])
    tracker.freeze(x, "pixels change places", [x.dim() - 2, x.dim() - 1])
    tracker.put(out, [*axes[:-3], _units(tracker, axes[-3], args[1] ** 2, "pixel shuffle"), None, None])


@rule("pixel_unshuffle")
def pixel_unshuffle(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let each channel become as many as a square of pixels has."""
    x, axes = args[0], tracker.axes(args[0])
    tracker.freeze(x, "pixels change places", [x.dim() - 2, x.dim() - 1])
    tracker.put(out, [*axes[:-3], None if axes[-3] is None else np.repeat(axes[-3], args[1] ** 2), None, None])


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let the same places go from each of the groups."""
    axes = list(tracker.axes(args[0]))
    places = halves(tracker, axes[1], args[1])
    axes[1] = None if places is None else np.repeat(places, args[1])
    tracker.put(out, axes)


@rule("im2col")
def unfold_image(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Each channel becomes as many as a window has pixels."""
    x, axes, window = args[0], tracker.axes(args[0]), math.prod(args[1])
    tracker.freeze(x, "a window over this axis", [x.dim() - 2, x.dim() - 1])
    tracker.put(out, [*axes[:-3], None if axes[-3] is None else np.repeat(axes[-3], window), None])


@rule("col2im")
def fold_image(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """As many consecutive channels as a window has pixels become one."""
    x, axes = args[0], tracker.axes(args[0])
    tracker.freeze(x, "a window over this axis", [x.dim() - 1])
    tracker.put(out, [*axes[:-2], _units(tracker, axes[-2], math.prod(args[2]), "fold"), None, None])


@rule("unfold")
def windows(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Windows slide along one axis, which stays; the others pass."""
    x, dim = args[0], args[1] % args[0].dim()
    tracker.freeze(x, "windows along this axis", [dim])
    tracker.put(out, [*(None if a == dim else found for a, found in enumerate(tracker.axes(x))), None])
