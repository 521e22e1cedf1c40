"""How sensitive each layer or group is: pruned alone at several sparsities, everything else left dense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn
from torch.utils.data import Subset

from prunekit.config.kinds import Number
from prunekit.config.spec import PruneSpec
from prunekit.data.stratified import Indices
from prunekit.errors import DataError, PrunekitError, one_of
from prunekit.evaluation.accuracy import evaluation_of
from prunekit.evaluation.paired import lies_clear
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.isolated_pruning import Alone, alone
from prunekit.evaluation.sensitivity.replay import BUDGET, Replay
from prunekit.evaluation.sensitivity.result import LayerSensitivity, Sensitivity, SensitivityPoint
from prunekit.evaluation.sensitivity.scan import Elsewhere, Scan, Seen, stages
from prunekit.evaluation.sensitivity.shortcuts import faster_form
from prunekit.models.running import task_of
from prunekit.statistics.difference import ALPHA
from prunekit.tasks.batches import samples_at
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.metrics import PERCENT
from prunekit.tasks.protocol import Task

SPARSITIES = tuple(round(0.1 * i, 1) for i in range(1, 10))
BATCH = 128


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
    drop: float | None = None,
    relative: bool = False,
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

    ``drop``: allowed loss of the headline metric, in its own unit (with ``relative`` a share of the dense model's value, but for metrics in
    percent): a point whose loss lies clear of it, by the paired interval after any chunk, is settled and sees no more images. The level of
    5 % is shared out among the chunks (Bonferroni), since each is another look at the same question. None measures every point on all.
    """
    progress = Progress.of(progress)
    spec, drop = spec or PruneSpec(), None if drop is None else Number(least=0)("drop", drop)
    _, name, notes = chosen_split(data, split)
    limits: dict[str, Any] = {"budget_bytes": budget_bytes, "batch_size": batch_size}
    todo = scan_of(model, data, spec, sparsities, split=split, images=images, task=task, **limits)
    seen, reason = todo.seen, todo.replay.reason
    about = (spec, name, (*notes, reason) if reason else notes, drop, relative and seen.metric.unit != PERCENT)
    picture = Picture(*about, todo.rows, seen, task_of(model, todo.part, task))
    if start is not None:
        picture.take_over(start)
    for n in stages(seen.size):
        if todo.run(n, ~picture.settled, progress, elsewhere):
            picture.look(n)
            if report is not None:
                report(picture.told())
    return picture.told()


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


class Picture:
    """What is told after some samples, and which points are settled by then."""

    def __init__(  # noqa: PLR0917 (what is measured, what settles it, and what is known)
        self, spec: PruneSpec, split: str, notes: tuple[str, ...], drop: float | None, relative: bool,
        rows: tuple[Alone, ...], seen: Seen, task: Task,
    ) -> None:  # fmt: skip
        self.spec, self.split, self.notes, self.drop, self.relative = spec, split, notes, drop, relative
        self.rows, self.seen, self.task = rows, seen, task
        self.images, self.n = 0, np.zeros(seen.of.shape[:2], np.int64)  # samples that the dense model, and each point, has seen
        self.settled = np.zeros(seen.of.shape[:2], bool)
        self.alpha = ALPHA / max(1, len(list(stages(seen.size))) - 1)  # of each look before the last
        self._dense: dict[int, Evaluation] = {}
        self._points: dict[tuple[int, int], Evaluation] = {}

    def take_over(self, start: Sensitivity) -> None:
        """Go on from what was measured before, if it is of the same setting, whatever settled points there."""
        mine = [(row.name, [(c.requested, c.removed) for c in row.cuttings]) for row in self.rows]
        theirs = [(layer.name, [(p.requested, p.removed) for p in layer.points]) for layer in start.layers]
        setting = (self.spec.mode, self.spec.criterion, self.split, self.seen.size)
        if mine != theirs or (start.mode, start.criterion, start.split, start.total) != setting:
            raise PrunekitError("what was measured before is of another setting, other layers or other images: start anew")
        where = {dense.n: self.seen.first(dense.n) for dense in (start.dense, *start.references)}
        for dense in (start.dense, *start.references):
            self.seen.note(where[dense.n], dense.observations)
        for i, layer in enumerate(start.layers):
            for j, point in enumerate(layer.points):
                self.seen.note_one(i, j, where[point.accuracy.n], point.accuracy.observations)
                self.n[i, j] = point.accuracy.n
        self.images = start.images
        self._settle()

    def look(self, n: int) -> None:
        """Note that the dense model, and each point that is not settled, has seen the first ``n`` samples."""
        self.images, self.n = max(self.images, n), np.where(self.settled, self.n, np.maximum(self.n, n))
        self._settle()

    def _settle(self) -> None:
        """See which points lie clear of what is allowed."""
        if self.drop is None:
            return
        metric = self.seen.metric
        for n in np.unique(self.n[~self.settled & (self.n < self.seen.size)]):
            where = self.seen.first(int(n))
            dense = self.seen.dense(where)
            allowed = self.drop * abs(metric.reduce(dense)) if self.relative else self.drop
            for i, j in zip(*np.nonzero(~self.settled & (self.n == n)), strict=True):
                self.settled[i, j] = lies_clear(metric, dense, self.seen.layer(i, j, where), allowed, self.alpha)

    def told(self) -> Sensitivity:
        """Return what is known by now."""
        metric, where = self.seen.metric, {int(n): self.seen.first(int(n)) for n in {self.images, *self.n.flat}}
        self._dense = {n: self._dense.get(n) or evaluation_of(self.seen.dense(which), metric, task=self.task) for n, which in where.items()}
        dense = self._dense[self.images]
        if metric is ACCURACY and self.seen.labels is not None:
            dense = replace(dense, chance=chance_of(self.seen.labels[where[self.images]]))
        layers = tuple(self._layer(i, row, where) for i, row in enumerate(self.rows))
        head = (self.spec.mode, self.spec.criterion, self.split, self.images, self.seen.size)
        return Sensitivity(*head, dense, layers, self.notes, self.drop, self.relative)

    def _layer(self, i: int, row: Alone, where: Mapping[int, Indices]) -> LayerSensitivity:
        """Return one layer or group."""
        points = []
        for j, c in enumerate(row.cuttings):
            n = int(self.n[i, j])
            known = self._points.get((i, j))
            if known is None or known.n != n:
                known = self._points[i, j] = Evaluation.of(self.seen.layer(i, j, where[n]), self.seen.metric, task=self.task)
            dense = None if n == self.images else self._dense[n]
            points.append(SensitivityPoint(c.requested, c.sparsity, known, c.removed, c.params, c.macs, bool(self.settled[i, j]), dense))
        return LayerSensitivity(row.name, row.layers, row.params, row.macs, tuple(points))


def chance_of(labels: ArrayLike) -> float | None:
    """Return the accuracy of always answering the commonest class; None where there is one class only."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(counts.max() / counts.sum()) if counts.size > 1 else None
