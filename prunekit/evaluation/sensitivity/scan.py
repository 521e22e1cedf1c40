"""Measuring every variant of a model on a growing, stratified part of the images."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.data.stratified import Indices, stratified
from prunekit.evaluation.batches import Progress, check_cancel
from prunekit.evaluation.sensitivity.isolated_pruning import Alone
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.models.running import checked_labels

FIRST, CHUNK = 128, 1024  # images until the first picture; most images from one picture to the next
UNKNOWN = -1
Right = NDArray[np.bool_]


class Bits:
    """Which images each variant gets right, 1 or 0, and -1 where nobody has looked.

    Parameters
    ----------
    labels : ndarray of int64, shape [N]
        Of all images.
    layers, points : int
        Number of layers or groups, and of sparsities.

    Attributes
    ----------
    dense : ndarray of int8, shape [N]
        Of the dense model.
    layers : ndarray of int8, shape [layers, points, N]
        Of each layer at each sparsity.
    """

    def __init__(self, labels: Indices, layers: int, points: int) -> None:
        self.labels = labels
        self.dense = np.full(labels.size, UNKNOWN, np.int8)
        self.layers = np.full((layers, points, labels.size), UNKNOWN, np.int8)

    def first(self, n: int) -> Indices:
        """Return which images ``subset(n)`` of the split takes."""
        return stratified(self.labels, n)

    def missing(self, n: int) -> Indices:
        """Return which of them nobody has looked at."""
        wanted = self.first(n)
        unseen: Indices = wanted[self.dense[wanted] == UNKNOWN]
        return unseen

    def load(self, n: int, dense: Right, layers: Sequence[Sequence[Right]]) -> None:
        """Take over what was measured on the first ``n`` images."""
        where = self.first(n)
        self.dense[where] = dense
        for i, points in enumerate(layers):
            for j, right in enumerate(points):
                self.layers[i, j, where] = right


def stages(total: int) -> Iterator[int]:
    """Yield after how many images there is a picture: soon the first, then more and more at a time.

    Parameters
    ----------
    total : int
        Images in all; the last that comes.
    """
    n, step = 0, FIRST
    while n < total:
        n = min(total, n + step)
        yield n
        step = min(2 * step, CHUNK)


@dataclass(frozen=True, eq=False)
class Scan:
    """The dense model and every variant of it on some images.

    Attributes
    ----------
    replay : Replay
        Of the model, with a change for each row.
    part : Split
        All images.
    rows : tuple of Alone
        What loses what.
    bits : Bits
        Where it is noted.
    """

    replay: Replay
    part: Any
    rows: tuple[Alone, ...]
    bits: Bits

    def run(self, which: Indices, progress: Progress | None, cancel: threading.Event | None) -> None:
        """Measure some images; a batch is noted as a whole or not at all.

        Parameters
        ----------
        which : ndarray of int64
            Those to look at.
        progress, cancel
            As for :func:`prunekit.evaluation.sensitivity.measure.sensitivity`.
        """
        total, size = self.bits.labels.size, self.replay.batch_size
        for here in (which[start : start + size] for start in range(0, which.size, size)):
            check_cancel(cancel)
            done, scores = int((self.bits.dense != UNKNOWN).sum()), self.replay.load(self.part.images(here))
            truth = checked_labels(torch.from_numpy(self.bits.labels[here]), scores)
            dense = _right(scores, truth)
            found = np.empty((*self.bits.layers.shape[:2], here.size), bool)
            for i, row in enumerate(self.rows):
                found[i] = self._row(i, truth, dense, cancel)
                if progress is not None:
                    now = done + here.size * (i + 1) / len(self.rows)
                    progress(now / total, f"{row.name}, {now:.0f} of {total} images")
            self.bits.dense[here], self.bits.layers[:, :, here] = dense, found

    def _row(self, change: int, truth: Tensor, dense: Right, cancel: threading.Event | None) -> Right:
        """Measure one layer or group at every sparsity; where two remove the same, once."""
        row, found = self.rows[change], list[Right]()
        for j, cutting in enumerate(row.cuttings):
            check_cancel(cancel)
            if not cutting.params:  # nothing new goes
                found.append(dense)
            elif j and row.cuttings[j - 1].removed == cutting.removed:
                found.append(found[-1])
            else:
                found.append(_right(self.replay.predict(change, row.gone(j), row.removal(j)), truth))
        return np.array(found)


def _right(scores: Tensor, truth: Tensor) -> Right:
    """Return where the highest score is the label's."""
    return np.asarray((scores.argmax(1) == truth).cpu().numpy(), dtype=bool)
