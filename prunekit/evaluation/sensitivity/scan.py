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

Variants = NDArray[np.bool_]
"""Which variants are meant, [layers, points]."""
Looked = tuple[Observations, list[list[Observations | None]]]
"""What was observed of a batch: of the dense model, and of each layer at each sparsity that was wanted."""
Elsewhere = Callable[[Sequence[Indices], Variants, Progress], Iterator[tuple[int, Looked]]]
"""Measures variants on batches, and gives the place of each batch with what `Scan.look` would."""
FIRST, CHUNK = 128, 1024  # samples until the first picture; most samples from one picture to the next


class Seen:
    """What is observed of each sample, of the dense model and of each variant, as far as anybody has looked.

    Of a proportion its one column is kept, else all that is observed. ``labels`` [size] of a classifier's samples make a first part of
    them a stratified choice; ``known`` [size] and ``of`` [layers, points, size] are where somebody has looked at the dense model and at
    each variant.
    """

    def __init__(self, size: int, layers: int, points: int, metric: Metric, labels: Indices | None = None) -> None:
        self.size, self.metric, self.labels = size, metric, labels
        self.known, self.of = np.zeros(size, bool), np.zeros((layers, points, size), bool)
        self._columns: tuple[str, ...] = ()
        self._groups: NDArray[np.int64] | None = None
        self._dense = self._layers = np.zeros(0)

    def first(self, n: int) -> Indices:
        """Return which samples the first picture of ``n`` takes: those that ``subset(n)`` of the split does."""
        return np.arange(min(n, self.size)) if self.labels is None else stratified(self.labels, n)

    def missing(self, n: int) -> Indices:
        """Return which of them nobody has looked at with the dense model."""
        wanted = self.first(n)
        unseen: Indices = wanted[~self.known[wanted]]
        return unseen

    def lacking(self, n: int, wanted: Variants) -> list[tuple[Indices, Variants]]:
        """Return what wanted variants lack of the first ``n`` samples: those that lack the same are measured together."""
        first, found = self.first(n), dict[bytes, Variants]()
        for place in zip(*np.nonzero(wanted), strict=True):
            lack = first[~self.of[place][first]]
            if lack.size:
                found.setdefault(lack.tobytes(), np.zeros_like(wanted))[place] = True
        return [(np.frombuffer(lack, first.dtype), these) for lack, these in found.items()]

    def left(self, wanted: Variants) -> int:
        """Return how many passes of a sample are left where some variants are wanted on all, the dense model beside them."""
        return int(np.count_nonzero(~self.of[wanted]) + np.count_nonzero(~self.known))

    def note(self, where: Indices, dense: Observations, layers: Sequence[Sequence[Observations | None]] = ()) -> None:
        """Take over what was observed of some samples."""
        if not self._columns:
            narrow = isinstance(self.metric, Proportion)
            self._columns = (self.metric.column,) if isinstance(self.metric, Proportion) else dense.columns
            kind, wide = (np.bool_ if narrow else np.float64), len(self._columns)
            self._dense = np.zeros((self.size, wide), kind)
            self._layers = np.zeros((*self.of.shape, wide), kind)
            self._groups = None if dense.groups is None else np.zeros(self.size, np.int64)
        self._dense[where] = self._values(dense)
        if self._groups is not None and dense.groups is not None:
            self._groups[where] = dense.groups
        self.known[where] = True
        for i, points in enumerate(layers):
            for j, seen in enumerate(points):
                if seen is not None:
                    self.note_one(i, j, where, seen)

    def note_one(self, i: int, j: int, where: Indices, seen: Observations) -> None:
        """Take over what was observed of a layer at a sparsity."""
        self._layers[i, j, where] = self._values(seen)
        self.of[i, j, where] = True

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

    def run(self, n: int, wanted: Variants, progress: Progress, elsewhere: Elsewhere | None = None) -> bool:
        """Measure what wanted variants and the dense model lack of the first ``n`` samples; return whether they lacked anything."""
        lacking = self.seen.lacking(n, wanted)
        for which, these in lacking:
            self._measure(which, these, wanted, progress, elsewhere)
        rest = self.seen.missing(n)  # of the dense model, where no variant needs it any more
        if rest.size:
            self._measure(rest, np.zeros_like(wanted), wanted, progress, elsewhere)
        return bool(lacking) or rest.size > 0

    def _measure(self, which: Indices, these: Variants, wanted: Variants, progress: Progress, elsewhere: Elsewhere | None) -> None:
        """Measure some variants on some samples, here or where somebody says; a batch is noted as a whole or not at all."""
        size, total = fitting(self.part, self.replay.batch_size), self.seen.of.size + self.seen.size
        batches = [which[start : start + size] for start in range(0, which.size, size)]
        spent = total - self.seen.left(wanted)
        done = int(self.seen.of[these].sum(1).min() if these.any() else self.seen.known.sum())
        if elsewhere is not None:
            part = progress.part(spent / total, (spent + self._passes(which, these)) / total)
            for place, looked in elsewhere(batches, these, part):
                self.seen.note(batches[place], *looked)
            return
        for here in batches:
            after = spent + self._passes(here, these)
            self.seen.note(here, *self.look(here, these, progress.part(spent / total, after / total), done))
            spent, done = after, done + here.size

    def _passes(self, which: Indices, these: Variants) -> int:
        """Return how many passes of a sample are left less after some variants saw some samples, and the dense model with them."""
        return int(which.size * np.count_nonzero(these) + np.count_nonzero(~self.seen.known[which]))

    def look(self, here: Indices, these: Variants, progress: Progress, done: int = 0) -> Looked:
        """Return what is observed of a batch, of the dense model and of each row at each sparsity that is meant."""
        progress.check()
        dense, found = self.replay.load(samples_at(self.part, here)), list[list[Observations | None]]()
        count, told = int(np.count_nonzero(these)), 0
        for i, row in enumerate(self.rows):
            found.append(self._row(i, dense, these[i], progress))
            if these[i].any():
                told += int(np.count_nonzero(these[i]))
                progress(told / count, f"{row.name}, {done + here.size * told / count:,.0f} of {self.seen.size:,} {self.units}")
        if not count:
            progress(1.0, f"the dense model, {done + here.size:,} of {self.seen.size:,} {self.units}")
        return dense, found

    def _row(self, change: int, dense: Observations, these: NDArray[np.bool_], progress: Progress) -> list[Observations | None]:
        """Measure one layer or group at the sparsities that are meant; where two remove the same, once."""
        row, found = self.rows[change], list[Observations | None]()
        for j, cutting in enumerate(row.cuttings):
            progress.check()
            if not these[j]:
                found.append(None)
            elif not cutting.params:  # nothing new goes
                found.append(dense)
            elif j and row.cuttings[j - 1].removed == cutting.removed and found[-1] is not None:
                found.append(found[-1])
            else:
                found.append(self.replay.predict(change, row.gone(j), row.removal(j)))
        return found
