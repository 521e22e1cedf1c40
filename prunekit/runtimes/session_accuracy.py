"""Accuracy of a model in its runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import DataError
from prunekit.evaluation.accuracy import evaluated
from prunekit.evaluation.progress import QUIET, Progress, Tell, eval_mode
from prunekit.evaluation.quality import Evaluation
from prunekit.models.running import classes_of, finite
from prunekit.runtimes.session import Session
from prunekit.tasks.base import Task
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, length_of
from prunekit.tasks.classification import Classification
from prunekit.tasks.resolver import resolve

MOST_BYTES = 2**24  # of input at a time: what a runtime needs beside it is many times more, and here there is no process to lose


def evaluate_session(
    session: Session,
    split: Any,
    *,
    task: Task | str | None = None,
    model: nn.Module | None = None,
    batch_size: int = 256,
    progress: Progress | Tell = QUIET,
) -> Evaluation:
    """Measure the headline metric of the data's task, as the accuracy of a classifier, in the runtime that the session belongs to.

    Parameters
    ----------
    session : Session
        An opened model.
    split : Split, Dataset or iterable of batches
        As for :func:`prunekit.evaluate`.
    task : Task or str, optional
        Left out, that of the model and the data.
    model : nn.Module, optional
        What the session was made from: it tells in which nest a file's outputs come. Classifiers need none.
    batch_size : int
        Samples at a time; fewer where they are large.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; looked at before each batch, whether to stop.

    Returns
    -------
    Evaluation
        As :func:`prunekit.evaluate` gives it: both can be compared in pairs.

    Raises
    ------
    DataError
        If there are no samples, or a label is outside the model's classes.
    RuntimeFault, ModelError
        If the model does not run on the samples or gives no finite scores.
    Cancelled
        If ``progress`` was cancelled.
    """
    hooks: dict[str, Any] = {"batch_size": batch_size, "progress": Progress.of(progress)}
    judge, classes = resolve(model, split, task), classes_of(split)
    if isinstance(judge, Classification):
        told = replace(judge, scores_of=lambda scores, _: scores)
        return evaluated(lambda batch: scores_of(session, batch, classes), told, split, **hooks)
    first = next(batches_of(split, 1), None) if length_of(split) else None
    if first is None or model is None:
        raise DataError(f"{judge.title} is measured in a runtime on data that can be indexed, and beside the model itself: give both")
    with eval_mode(model), torch.inference_mode():
        like = judge.forward(model, first)
    hooks["batch_size"] = max(1, min(batch_size, MOST_BYTES // max(_bytes(first), 1)))
    return evaluated(lambda batch: session.answer(batch, like), judge, split, **hooks)


def _bytes(batch: Batch) -> int:
    """Return what a batch's inputs weigh."""
    return sum(tensor.nbytes for _, tensor in batch.named_tensors())


def _parts(x: Batch) -> list[Batch]:
    """Return samples in parts of at most 16 MiB, one sample at least."""
    step = max(1, MOST_BYTES * x.samples // max(_bytes(x), 1))
    return [x.take(np.arange(start, min(start + step, x.samples))) for start in range(0, x.samples, step)] if step < x.samples else [x]


def scores_of(session: Session, x: Batch | Tensor, classes: int = 0) -> Tensor:
    """Return the class scores of a batch, [N, classes], however large its samples are.

    Parameters
    ----------
    session : Session
        An opened model.
    x : Tensor, shape [N, ...], or Batch
        It is passed on in parts of at most 16 MiB, one sample at least.
    classes : int
        How many the data have; 0 where nobody knows.

    Raises
    ------
    ModelError
        If the model gives something else than finite scores for each sample.
    """
    return finite(torch.cat([session.scores(part, classes) for part in _parts(Batch.of(x))]))
