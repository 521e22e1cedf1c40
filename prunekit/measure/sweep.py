"""Accuracy against sparsity: scored once, measured point by point."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.anatomy import Counts, count, weight_of
from prunekit.catalog.info import info
from prunekit.errors import DataError, PrunekitError, one_of
from prunekit.measure.accuracy import Accuracy, evaluate
from prunekit.measure.forward import Progress, check_cancel
from prunekit.pruning import ChannelRanking, Cut, Plan, Ranking, carry_out, trace
from prunekit.spec import PruneSpec

Maker = Callable[[], tuple[nn.Module, float, Counts]]


@dataclass(frozen=True)
class SweepPoint:
    """One sparsity of a sweep.

    Attributes
    ----------
    requested, sparsity : float
        Share asked for and share removed: of the chosen layers' weights (unstructured) or of their removable channels (structured).
    accuracy : Accuracy
        Of the pruned model, without any recovery.
    counts : Counts
        Of the pruned model.
    """

    requested: float
    sparsity: float
    accuracy: Accuracy
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = {name: getattr(self.counts, name) for name in ("params", "nonzero", "macs", "effective_macs")}
        return {"requested": self.requested, "sparsity": self.sparsity, "accuracy": self.accuracy.to_dict(), **counts}


def _split_of(data: Any, split: str) -> Any:
    """Return the named part of the data; a bare split stands for itself."""
    if not hasattr(data, "test"):
        return data
    one_of("split", split, ("train", "validation", "test"), DataError)
    part = getattr(data, split, None)
    if part is None:
        raise DataError(f"these data have no {split} part: use split='test'")
    return part


def _shape_of(model: nn.Module, part: Any) -> tuple[int, ...]:
    """Return the shape of one sample: of the data, or as the catalog knows it where the data cannot be indexed."""
    if hasattr(part, "__getitem__") and hasattr(part, "__len__") and hasattr(part, "batches"):
        if not len(part):
            raise DataError("there are no samples to measure accuracy on: choose data that are not empty")
        return tuple(part[0][0].shape)
    shape = info(model).input_shape
    if shape is None:
        raise DataError("the shape of a sample is not known: give a split such as data.test")
    return tuple(shape)


def _masked(model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], points: Sequence[float], data: Any) -> list[Maker]:
    """Rank once; every point overwrites the weights of one working copy."""
    ranking, working = Ranking.of(model, spec, data), copy.deepcopy(model)
    total = sum(ranking.sizes.values())

    def make(cut: Cut) -> tuple[nn.Module, float, Counts]:
        masks = ranking.masks(cut)
        _overwrite(working, model, masks)
        removed = sum(mask.numel() - int(torch.count_nonzero(mask)) for mask in masks.values())
        return working, removed / total, count(model, shape, masks)

    return [partial(make, ranking.cut(sparsity)) for sparsity in points]


def _overwrite(working: nn.Module, model: nn.Module, masks: dict[str, Tensor]) -> None:
    """Give the working copy the dense weights again, with what the masks remove as zero."""
    with torch.no_grad():
        for name, mask in masks.items():
            dense = weight_of(model, name)
            weight_of(working, name).copy_(dense).masked_fill_(~mask.to(dense.device), 0)


def _shrunk(model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], points: Sequence[float], data: Any) -> list[Maker]:
    """Trace and rank once; every point is a smaller copy, proved."""
    ranking = ChannelRanking.of(model, spec, trace(model, shape), data)

    def make(plan: Plan, sparsity: float) -> tuple[nn.Module, float, Counts]:
        result = carry_out(model, plan, spec.at(sparsity))
        return result.model, result.achieved.sparsity, result.after

    return [partial(make, ranking.cut(sparsity), sparsity) for sparsity in points]


def sweep(
    model: nn.Module,
    spec: PruneSpec,
    sparsities: Iterable[float],
    data: Any,
    *,
    split: str = "test",
    batch_size: int = 256,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[SweepPoint]:
    """Measure one setting at several sparsities, without recovery.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    spec : PruneSpec
        The setting; its own sparsity or threshold is ignored.
    sparsities : iterable of float
        Each at least 0 and below 1; points come in this order.
    data : Data or split
        What accuracy is measured on.
    split : {"test", "validation", "train"}
        Which part of the data. To choose a sparsity use the validation part and keep the test part for the last word.
    batch_size : int
        Samples at a time.
    progress : callable, optional
        Called as ``progress(fraction, text)`` over all points.
    cancel : threading.Event, optional
        Looked at before each batch.

    Yields
    ------
    SweepPoint
        As soon as it is measured.

    Raises
    ------
    PrunekitError
        If the setting, the data or a sparsity is not valid, or overrides put a sparsity out of reach; before anything is measured.
    """
    if spec.mode == "nm":
        raise PrunekitError(f"a pattern has one sparsity, {spec.sparsity:g}: prune with it once instead of sweeping")
    points = [float(spec.at(sparsity).sparsity or 0.0) for sparsity in sparsities]
    if not points:
        raise PrunekitError("give at least one sparsity, as in 0,0.5,0.9")
    part = _split_of(data, split)
    prepare = _masked if spec.mode == "unstructured" else _shrunk
    makers = prepare(model, spec, _shape_of(model, part), points, data)

    def measure(index: int, requested: float) -> SweepPoint:
        check_cancel(cancel)
        pruned, sparsity, counts = makers[index]()
        share = _part_of(progress, index, len(points), requested)
        return SweepPoint(requested, sparsity, evaluate(pruned, part, batch_size=batch_size, progress=share, cancel=cancel), counts)

    return (measure(index, requested) for index, requested in enumerate(points))


def _part_of(progress: Progress | None, index: int, total: int, requested: float) -> Progress | None:
    """Return the progress of one point as a part of the whole."""
    if progress is None:
        return None
    return lambda share, text: progress((index + share) / total, f"sparsity {requested:.0%}: {text}")
