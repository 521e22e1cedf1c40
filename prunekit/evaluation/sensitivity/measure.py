"""How sensitive each layer or group is: pruned alone at several sparsities, everything else left dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn
from torch.utils.data import Subset

from prunekit.config.spec import PruneSpec
from prunekit.data.stratified import Indices
from prunekit.errors import DataError, PrunekitError, one_of
from prunekit.evaluation.accuracy import evaluation_of
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.isolated_pruning import Alone, alone
from prunekit.evaluation.sensitivity.replay import BUDGET, Replay
from prunekit.evaluation.sensitivity.scan import Elsewhere, Scan, Seen, stages
from prunekit.evaluation.sensitivity.shortcuts import faster_form
from prunekit.formatting import count, percent
from prunekit.models.running import task_of
from prunekit.notebook import card, notes, shaded, table
from prunekit.tasks.batches import samples_at
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.metrics import Metric
from prunekit.tasks.protocol import Task

SPARSITIES = tuple(round(0.1 * i, 1) for i in range(1, 10))
BATCH = 128


@dataclass(frozen=True)
class SensitivityPoint:
    """One layer or group at one sparsity."""

    requested: float
    sparsity: float
    accuracy: Evaluation  # of the model that is dense but for this layer or group
    removed: int
    params: int
    macs: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = {"removed": self.removed, "removed_params": self.params, "removed_macs": self.macs}
        return {"requested": self.requested, "sparsity": self.sparsity, self.accuracy.metric.name: self.accuracy.to_dict(), **counts}


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer or group."""

    name: str
    layers: tuple[str, ...]
    params: int
    macs: int
    points: tuple[SensitivityPoint, ...]  # by ascending sparsity

    @property
    def size(self) -> int:
        """Number of weights or of removable channels; 0 where nothing goes at any sparsity."""
        return max((round(point.removed / point.sparsity) for point in self.points if point.removed), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {"name": self.name, "layers": list(self.layers), "params": self.params, "macs": self.macs}
        return {**plain, "points": [point.to_dict() for point in self.points]}


@dataclass(frozen=True)
class Sensitivity:
    """Every layer or group pruned alone, on the images that have been looked at so far."""

    mode: str  # mode, criterion: how each was pruned
    criterion: str
    split: str  # part of the data; empty for a bare split
    # images, total: images looked at so far, and in all. Accuracies are those on ``split.subset(total).subset(images)``, in its order
    images: int
    total: int
    dense: Evaluation  # of the dense model on the same images
    layers: tuple[LayerSensitivity, ...]  # in order of definition
    notes: tuple[str, ...] = ()  # plain sentences on what served as what

    def _repr_html_(self) -> str:
        """Return it for a notebook: a row for each layer, what it loses on a ground that is the stronger the more it is."""
        metric = self.dense.metric
        lost = [[metric.loss(self.dense.value, point.accuracy.value) for point in layer.points] for layer in self.layers]
        most = max((value for row in lost for value in row), default=0.0) or 1.0
        rows = [
            (layer.name, count(layer.params), *(shaded(p.accuracy.text(), loss / most) for p, loss in zip(layer.points, row, strict=True)))
            for layer, row in zip(self.layers, lost, strict=True)
        ]
        header = ["layer", "parameters", *(percent(point.requested, 0) for point in (self.layers[0].points if self.layers else ()))]
        about = f"Each pruned alone ({self.mode}, {self.criterion}), {self.images:,} {self.dense.units}; dense {self.dense.text()}."
        return card(f"Sensitivity: {metric.phrase} by the share removed", about, table(header, rows, "layers"), notes(self.notes))

    @property
    def done(self) -> bool:
        """Whether all images have been looked at."""
        return self.images == self.total

    def under(self, metric: Metric) -> Sensitivity:
        """Return the same scan in another figure of what was observed; points that leave it undefined are left out."""
        layers = []
        for layer in self.layers:
            points = []
            for point in layer.points:
                with suppress(DataError):
                    points.append(replace(point, accuracy=point.accuracy.under(metric)))
            layers.append(replace(layer, points=tuple(points)))
        return replace(self, dense=self.dense.under(metric), layers=tuple(layers))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        head = {"mode": self.mode, "criterion": self.criterion, "split": self.split, "images": self.images, "total": self.total}
        layers = [layer.to_dict() for layer in self.layers]
        return {**head, "dense": self.dense.to_dict(), "layers": layers, "notes": list(self.notes)}


def chosen_split(data: Any, split: str | None) -> tuple[Any, str, tuple[str, ...]]:
    """Return the part of the data to choose by, its name, and a sentence where it is not the validation part."""
    if not hasattr(data, "test"):
        return data, "", ()
    if split is None and data.validation is None:
        note = "there is no validation part: the test samples served, so that they cannot confirm what is chosen by them"
        return data.test, "test", (note,)
    name = split or "validation"
    one_of("split", name, ("train", "validation", "test"), DataError)
    if getattr(data, name) is None:
        raise DataError(f"these data have no {name} part: use the test part")
    return getattr(data, name), name, ()


def sensitivity(
    model: nn.Module,
    data: Any,
    spec: PruneSpec | None = None,
    sparsities: Sequence[float] = SPARSITIES,
    *,
    split: str | None = None,
    images: int = 0,
    budget_bytes: int = BUDGET,
    batch_size: int = BATCH,
    task: Task | str | None = None,
    start: Sensitivity | None = None,
    report: Callable[[Sensitivity], object] | None = None,
    progress: Progress | Tell = QUIET,
    elsewhere: Elsewhere | None = None,
) -> Sensitivity:
    """Prune each layer or group alone and measure what it costs.

    The images come in chunks, each a stratified part of all, so that the picture is whole from the first chunk on and its intervals
    shrink. What comes before a pruned layer is computed once for a batch and replayed (:class:`.replay.Replay`).

    ``split``: {"validation", "test", "train"}: the validation part by default, the test part where there is none; ``images``: so many
    images at most, by the split's fixed stratified choice; 0 for all.
    """
    progress = Progress.of(progress)
    spec = spec or PruneSpec()
    _, name, notes = chosen_split(data, split)
    limits: dict[str, Any] = {"budget_bytes": budget_bytes, "batch_size": batch_size}
    todo = scan_of(model, data, spec, sparsities, split=split, images=images, task=task, **limits)
    seen, reason = todo.seen, todo.replay.reason
    picture = _Picture(spec, name, (*notes, reason) if reason else notes, todo.rows, seen, task_of(model, todo.part, task))
    if start is not None:
        picture.take_over(start)
    for n in stages(seen.size):
        missing = seen.missing(n)
        if missing.size:
            todo.run(missing, progress, elsewhere)
            if report is not None:
                report(picture.at(n))
    return picture.at(seen.size)


def scan_of(
    model: nn.Module,
    data: Any,
    spec: PruneSpec,
    sparsities: Sequence[float],
    *,
    split: str | None = None,
    images: int = 0,
    budget_bytes: int = BUDGET,
    batch_size: int = BATCH,
    task: Task | str | None = None,
) -> Scan:
    """Return what measures batches of images; arguments as for `sensitivity`."""
    part = _limited(chosen_split(data, split)[0], images)
    judge = task_of(model, part, task)
    rows = alone(model, spec, sparsities, form_of_data(part), data)
    labels = np.asarray(part.labels) if hasattr(part, "labels") else None
    x = samples_at(part, np.arange(min(2, len(part))))
    limits: dict[str, Any] = {"budget_bytes": budget_bytes, "batch_size": batch_size}
    net = faster_form(model, x, {name for row in rows for name in row.touched})
    replay = Replay(net, x, [row.touched for row in rows], lambda net, batch: judge.observe(judge.forward(net, batch), batch), **limits)
    return Scan(replay, part, rows, Seen(len(part), len(rows), len(rows[0].cuttings), judge.headline, labels), judge.units_of_data)


def _limited(part: Any, images: int) -> Any:
    """Return the images to look at."""
    if not hasattr(part, "__getitem__") or not hasattr(part, "__len__") or isinstance(part, (list, tuple)):
        raise DataError("sensitivity needs samples that can be chosen: give a split such as data.validation")
    if images < 0:
        raise DataError(f"images must be at least 0 (0 for all); got {images!r}")
    if not len(part):
        raise DataError("there are no samples to measure accuracy on: choose data that are not empty")
    if not images or images >= len(part):
        return part
    return part.subset(images) if hasattr(part, "subset") else Subset(part, range(images))


@dataclass(frozen=True, eq=False)
class _Picture:
    """What is told after some samples."""

    spec: PruneSpec
    split: str
    notes: tuple[str, ...]
    rows: tuple[Alone, ...]
    seen: Seen
    task: Task

    def take_over(self, start: Sensitivity) -> None:
        """Go on from what was measured before, if it is of the same setting."""
        mine = [(row.name, [(c.requested, c.removed) for c in row.cuttings]) for row in self.rows]
        theirs = [(layer.name, [(p.requested, p.removed) for p in layer.points]) for layer in start.layers]
        setting = (self.spec.mode, self.spec.criterion, self.split, self.seen.size)
        if mine != theirs or (start.mode, start.criterion, start.split, start.total) != setting:
            raise PrunekitError("what was measured before is of another setting, other layers or other images: start anew")
        layers = [[point.accuracy.observations for point in layer.points] for layer in start.layers]
        self.seen.note(self.seen.first(start.images), start.dense.observations, layers)

    def at(self, n: int) -> Sensitivity:
        """Return what the first ``n`` samples tell."""
        where, metric = self.seen.first(n), self.seen.metric
        layers = tuple(self._layer(i, row, where) for i, row in enumerate(self.rows))
        dense = evaluation_of(self.seen.dense(where), metric, task=self.task)
        if metric is ACCURACY and self.seen.labels is not None:
            dense = replace(dense, chance=chance_of(self.seen.labels[where]))
        return Sensitivity(self.spec.mode, self.spec.criterion, self.split, n, self.seen.size, dense, layers, self.notes)

    def _layer(self, index: int, row: Alone, where: Indices) -> LayerSensitivity:
        """Return one layer or group."""

        def quality(j: int) -> Evaluation:
            return Evaluation.of(self.seen.layer(index, j, where), self.seen.metric, task=self.task)

        points = (SensitivityPoint(c.requested, c.sparsity, quality(j), c.removed, c.params, c.macs) for j, c in enumerate(row.cuttings))
        return LayerSensitivity(row.name, row.layers, row.params, row.macs, tuple(points))


def chance_of(labels: ArrayLike) -> float | None:
    """Return the accuracy of always answering the commonest class; None where there is one class only."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(counts.max() / counts.sum()) if counts.size > 1 else None
