"""`Picture`: what is known of each layer by now, and which points are settled: their loss lies clear of what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from prunekit.config.spec import PruneSpec
from prunekit.data.stratified import Indices
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluation_of
from prunekit.evaluation.paired import lies_clear
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.isolated_pruning import Alone
from prunekit.evaluation.sensitivity.result import LayerSensitivity, Sensitivity, SensitivityPoint
from prunekit.evaluation.sensitivity.scan import Seen, stages
from prunekit.statistics.difference import ALPHA
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.protocol import Task


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
