"""Accuracy against sparsity: scored once, measured point by point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import DataError, PrunekitError, one_of
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import count as short_count
from prunekit.formatting import ordinary, percent
from prunekit.models.cost import Counts, count
from prunekit.models.info import info
from prunekit.models.inputs import form_for
from prunekit.models.layers import weight_of
from prunekit.models.meta_copy import copied
from prunekit.models.running import task_of
from prunekit.notebook import card, curve, table
from prunekit.pruning.execution import carry_out, update
from prunekit.pruning.influence import check_influence
from prunekit.pruning.proof import proved
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.masks import Ranking
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.protocol import Task
from prunekit.tracking import LogTo, tracked


class Made(NamedTuple):
    """A pruned model, the share that was removed, and the counts that are left."""

    model: nn.Module
    sparsity: float
    counts: Counts


@dataclass(frozen=True)
class SweepPoint:
    """One sparsity of a sweep.

    Attributes
    ----------
    requested, sparsity : float
        Share asked for and share removed: of the chosen layers' weights (unstructured) or of their removable channels (structured).
    accuracy : Accuracy
        Of the pruned model, after recovery where there was one.
    counts : Counts
        Of the pruned model.
    run : str
        The run in the store; "" where nothing was to be stored.
    seed : int
        Of the setting.
    bytes : int
        Of its file: as it is where channels were removed, in the best sparse format where weights were; 0 where it was not counted.
    """

    requested: float
    sparsity: float
    accuracy: Evaluation
    counts: Counts
    run: str = ""
    seed: int = 0
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = {name: getattr(self.counts, name) for name in ("params", "nonzero", "macs", "effective_macs")}
        return {"requested": self.requested, "sparsity": self.sparsity, self.accuracy.metric.name: self.accuracy.to_dict(), **counts}

    def figures(self) -> dict[str, Any]:
        """Return what a tracker is told: the metric by its name."""
        name, seen = self.accuracy.metric.name, self.accuracy
        return {**self.to_dict(), "achieved": self.sparsity, name: seen.value, f"{name}/low": seen.low, f"{name}/high": seen.high}


class Sweep(Iterator[SweepPoint]):
    """The points of a sweep as they are measured: an iterator that keeps what came.

    Attributes
    ----------
    points : list of SweepPoint
        Measured so far.
    """

    def __init__(self, coming: Iterator[SweepPoint]) -> None:
        self._coming, self.points = coming, list[SweepPoint]()

    def __next__(self) -> SweepPoint:
        """Measure the next point."""
        self.points.append(next(self._coming))
        return self.points[-1]

    def _repr_html_(self) -> str:
        """Return the curve so far for a notebook."""
        if not self.points:
            return card("Sweep", "Nothing is measured yet: each step of the iteration measures a point.")
        points = sorted(self.points, key=lambda point: point.sparsity)
        metric = points[0].accuracy.metric
        places = [(p.sparsity, p.accuracy.value, p.accuracy.low, p.accuracy.high) for p in points]
        ends = [value for place in places for value in place[1:] if not math.isnan(value)]
        about = (percent(places[0][0]), f"{percent(places[-1][0])} removed"), (metric.format(min(ends)), metric.format(max(ends)))
        rows = [(percent(p.sparsity), p.accuracy.text(), p.accuracy.interval(), *map(short_count, _counted(p))) for p in points]
        drawn = curve(places, *about, f"{metric.title} by share removed") if len(points) > 1 else ""
        header = ["removed", metric.title, "between", "parameters", "not zero", "MACs"]
        return card(f"{metric.title} against sparsity", drawn, table(header, rows, "points"))


def _counted(point: SweepPoint) -> tuple[int, int, int]:
    """Return what a point holds."""
    return point.counts.params, point.counts.nonzero, point.counts.macs


def split_of(data: Any, split: str) -> Any:
    """Return the named part of the data; a bare split stands for itself."""
    if not hasattr(data, "test"):
        return data
    one_of("split", split, ("train", "validation", "test"), DataError)
    part = getattr(data, split, None)
    if part is None:
        raise DataError(f"these data have no {split} part: use split='test'")
    return part


def shape_of(model: nn.Module, part: Any) -> tuple[int, ...]:
    """Return the shape of one sample: of the data, or as is known of the model where the data cannot be indexed."""
    if hasattr(part, "__getitem__") and hasattr(part, "__len__") and (hasattr(part, "batches") or isinstance(part, Dataset)):
        if not len(part):
            raise DataError("there are no samples to measure accuracy on: choose data that are not empty")
        return form_of_data(part)
    shape = info(model).input_shape
    if shape is None:
        raise DataError("the shape of a sample is not known: give a split such as data.test")
    return form_for(model, shape)


def points_of(spec: PruneSpec, sparsities: Iterable[float]) -> list[float]:
    """Return checked sparsities of a sweep."""
    if spec.mode == "nm":
        raise PrunekitError(f"a pattern has one sparsity, {spec.sparsity:g}: prune with it once instead of sweeping")
    points = [float(spec.at(sparsity).sparsity or 0.0) for sparsity in sparsities]
    if not points:
        raise PrunekitError("give at least one sparsity, as in 0,0.5,0.9")
    return points


class Scored:
    """A model whose weights or channels are scored once and cut at any sparsity."""

    def __init__(self, model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], data: Any = None) -> None:
        points_of(spec, [0.0])
        self.model, self.spec, self.shape, self.data = model, spec, shape, data
        self._ranking = Ranking.of(model, spec, data) if spec.mode == "unstructured" else self._channels()
        if isinstance(self._ranking, Ranking):
            check_influence(model, self._ranking.shapes, shape, data)
        self._working: nn.Module | None = None

    def check(self, sparsity: float) -> None:
        """Raise `PruningError` where the setting puts a sparsity out of reach; nothing is made."""
        self._ranking.cut(sparsity)

    def at(self, sparsity: float) -> Made:
        """Return the model at one sparsity.

        A model with zeroed weights is one working copy, which the next call overwrites; a smaller one is a new copy, proved.
        """
        if isinstance(self._ranking, Ranking) and CRITERIA[self.spec.criterion].updates:
            result = update(self.model, self.spec.at(sparsity), self.shape, self.data)
            return Made(result.model, result.achieved.sparsity, result.after)
        if isinstance(self._ranking, Ranking):
            return self._masked(self._ranking, sparsity)
        plan, proof = proved(self.model, lambda: self._cut(sparsity), getattr(self.shape, "example", None))
        result = carry_out(self.model, plan, self.spec.at(sparsity), proof)
        return Made(result.model, result.achieved.sparsity, result.after)

    def _channels(self) -> ChannelRanking:
        """Score the channels of the couplings as they are known now."""
        return ChannelRanking.of(self.model, self.spec, trace(self.model, self.shape), self.data)

    def _cut(self, sparsity: float) -> Plan:
        """Return the plan at a sparsity; scored anew where something is held since."""
        if not isinstance(self._ranking, ChannelRanking) or self._ranking.graph is not trace(self.model, self.shape):
            self._ranking = self._channels()
        return self._ranking.cut(sparsity)

    def _masked(self, ranking: Ranking, sparsity: float) -> Made:
        """Return the working copy with the dense weights, masked ones set to zero."""
        masks = ranking.masks(ranking.cut(sparsity))
        if self._working is None:
            self._working = copied(self.model)
        _overwrite(self._working, self.model, masks)
        removed = sum(mask.numel() - int(torch.count_nonzero(mask)) for mask in masks.values())
        return Made(self._working, removed / sum(ranking.sizes.values()), count(self.model, self.shape, masks))


def _overwrite(working: nn.Module, model: nn.Module, masks: dict[str, Tensor]) -> None:
    """Give the working copy the dense weights again, with what the masks remove as zero."""
    with torch.no_grad():
        for name, mask in masks.items():
            dense = weight_of(model, name)
            weight_of(working, name).copy_(dense).masked_fill_(~mask.to(dense.device), 0)


def sweep(
    model: nn.Module,
    spec: PruneSpec,
    sparsities: Iterable[float],
    data: Any,
    *,
    split: str = "test",
    task: Task | str | None = None,
    batch_size: int = 256,
    progress: Progress | Tell = QUIET,
    log_to: LogTo = None,
) -> Sweep:
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
    task : Task or str, optional
        Whose headline metric is measured; left out, that of the model and its data.
    batch_size : int
        Samples at a time.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.
    log_to : Tracker or str, optional
        Told the setting and each point, as for :func:`prunekit.prune`; opened when the first is asked for.

    Returns
    -------
    Sweep
        An iterator, which gives each point as soon as it is measured, and keeps them.

    Raises
    ------
    PrunekitError
        If the setting, the data or a sparsity is not valid, or overrides put a sparsity out of reach; before anything is measured.
    """
    progress = Progress.of(progress)
    points = points_of(spec, sparsities)
    part = split_of(data, split)
    scored, judge = Scored(model, spec, shape_of(model, part), data), task_of(model, data if task is None else part, task)
    for requested in points:
        scored.check(requested)

    def measure(requested: float | None, progress: Progress) -> SweepPoint:
        assert requested is not None
        made = scored.at(requested)
        accuracy = evaluate(made.model, part, task=judge, batch_size=batch_size, progress=progress)
        return SweepPoint(requested, made.sparsity, accuracy, made.counts, seed=spec.seed)

    return Sweep(_told(measured(points, len(points), measure, progress), spec, log_to, progress))


def _told(points: Iterator[SweepPoint], spec: PruneSpec, log_to: LogTo, progress: Progress) -> Iterator[SweepPoint]:
    """Yield the points of a sweep, each told to a tracker first."""
    with tracked(log_to, f"sweep {spec.mode} {spec.criterion}", progress.warn) as logged:
        logged.params({"spec": {name: value for name, value in spec.to_dict().items() if name not in ("sparsity", "threshold")}})
        for place, point in enumerate(points):
            logged.metrics(point.figures(), place)
            yield point


def measured(
    sparsities: Iterable[float | None], total: int, measure: Callable[[float | None, Progress], SweepPoint], progress: Progress
) -> Iterator[SweepPoint]:
    """Yield one point after the other, None standing for the dense model: the loop of every sweep."""
    for index, requested in enumerate(sparsities):
        progress.check()
        what = "dense model" if requested is None else f"sparsity {ordinary(percent(requested))}"
        yield measure(requested, progress.step(index, total, f"{what}: "))
