"""Measuring every variant of a model on a growing, stratified part of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.data.stratified import Indices, stratified
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.sensitivity.isolated_pruning import Alone
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.tasks.batches import fitting, samples_at
from prunekit.tasks.metrics import Metric, Proportion
from prunekit.tasks.observations import Observations

Elsewhere = Callable[[Sequence[Indices], Progress], Iterator[tuple[int, tuple[Observations, list[list[Observations]]]]]]
"""Measures batches, and gives the place of each with what `Scan.look` would."""
FIRST, CHUNK = 128, 1024  # samples until the first picture; most samples from one picture to the next


class Seen:
    """What is observed of each sample, of the dense model and of each variant, as far as anybody has looked.

    Of a proportion its one column is kept, else all that is observed. ``labels`` [size] of a classifier's samples make a first part of
    them a stratified choice; ``known`` [size] is where somebody has looked.
    """

    def __init__(self, size: int, layers: int, points: int, metric: Metric, labels: Indices | None = None) -> None:
        self.size, self.metric, self.labels = size, metric, labels
        self.known = np.zeros(size, bool)
        self._shape = (layers, points)
        self._columns: tuple[str, ...] = ()
        self._groups: NDArray[np.int64] | None = None
        self._dense = self._layers = np.zeros(0)

    def first(self, n: int) -> Indices:
        """Return which samples the first picture of ``n`` takes: those that ``subset(n)`` of the split does."""
        return np.arange(min(n, self.size)) if self.labels is None else stratified(self.labels, n)

    def missing(self, n: int) -> Indices:
        """Return which of them nobody has looked at."""
        wanted = self.first(n)
        unseen: Indices = wanted[~self.known[wanted]]
        return unseen

    def note(self, where: Indices, dense: Observations, layers: Sequence[Sequence[Observations]]) -> None:
        """Take over what was observed of some samples."""
        if not self._columns:
            narrow = isinstance(self.metric, Proportion)
            self._columns = (self.metric.column,) if isinstance(self.metric, Proportion) else dense.columns
            kind, wide = (np.bool_ if narrow else np.float64), len(self._columns)
            self._dense = np.zeros((self.size, wide), kind)
            self._layers = np.zeros((*self._shape, self.size, wide), kind)
            self._groups = None if dense.groups is None else np.zeros(self.size, np.int64)
        self._dense[where] = self._values(dense)
        for i, points in enumerate(layers):
            for j, seen in enumerate(points):
                self._layers[i, j, where] = self._values(seen)
        if self._groups is not None and dense.groups is not None:
            self._groups[where] = dense.groups
        self.known[where] = True

    def _values(self, seen: Observations) -> NDArray[Any]:
        """Return the columns that are kept."""
        return np.column_stack([seen[column] for column in self._columns])

    def dense(self, where: Indices) -> Observations:
        """Return what was observed of the dense model."""
        return self._read(self._dense[where], where)

    def layer(self, i: int, j: int, where: Indices) -> Observations:
        """Return what was observed of a layer at a sparsity."""
        return self._read(self._layers[i, j][where], where)

    def _read(self, values: NDArray[Any], where: Indices) -> Observations:
        """Return rows as observations."""
        return Observations(values, self._columns, None if self._groups is None else self._groups[where])


def stages(total: int) -> Iterator[int]:
    """Yield after how many images there is a picture: soon the first, then more and more at a time."""
    n, step = 0, FIRST
    while n < total:
        n = min(total, n + step)
        yield n
        step = min(2 * step, CHUNK)


@dataclass(frozen=True, eq=False)
class Scan:
    """The dense model and every variant of it on some samples."""

    replay: Replay[Observations]  # of the model, with a change for each row; it gives what the task observes
    part: Any
    rows: tuple[Alone, ...]  # what loses what
    seen: Seen  # where it is noted
    units: str = "images"  # what samples are called

    def run(self, which: Indices, progress: Progress, elsewhere: Elsewhere | None = None) -> None:
        """Measure some samples, here or where somebody says; a batch is noted as a whole or not at all."""
        total, size = self.seen.size, fitting(self.part, self.replay.batch_size)
        batches = [which[start : start + size] for start in range(0, which.size, size)]
        done = int(self.seen.known.sum())
        if elsewhere is not None:
            for place, (dense, found) in elsewhere(batches, progress.part(done / total, (done + which.size) / total)):
                self.seen.note(batches[place], dense, found)
            return
        for here in batches:
            self.seen.note(here, *self.look(here, progress.part(done / total, (done + here.size) / total), done))
            done += here.size

    def look(self, here: Indices, progress: Progress, done: int = 0) -> tuple[Observations, list[list[Observations]]]:
        """Return what is observed of a batch, of the dense model and of each row at each sparsity."""
        progress.check()
        dense, found = self.replay.load(samples_at(self.part, here)), []
        for i, row in enumerate(self.rows):
            found.append(self._row(i, dense, progress))
            share = (i + 1) / len(self.rows)
            progress(share, f"{row.name}, {done + here.size * share:.0f} of {self.seen.size} {self.units}")
        return dense, found

    def _row(self, change: int, dense: Observations, progress: Progress) -> list[Observations]:
        """Measure one layer or group at every sparsity; where two remove the same, once."""
        row, found = self.rows[change], list[Observations]()
        for j, cutting in enumerate(row.cuttings):
            progress.check()
            if not cutting.params:  # nothing new goes
                found.append(dense)
            elif j and row.cuttings[j - 1].removed == cutting.removed:
                found.append(found[-1])
            else:
                found.append(self.replay.predict(change, row.gone(j), row.removal(j)))
        return found
