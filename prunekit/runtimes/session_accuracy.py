"""Accuracy of a model in its runtime."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from prunekit.errors import DataError
from prunekit.evaluation.accuracy import evaluated
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.models.outputs import joined
from prunekit.models.running import classes_of, finite
from prunekit.runtimes.session import Session
from prunekit.tasks.base import Task
from prunekit.tasks.batch import Batch
from prunekit.tasks.classification import Classification
from prunekit.tasks.resolver import resolve

MOST_BYTES = 2**24  # of input at a time: what a runtime needs beside it is many times more, and here there is no process to lose


def evaluate_session(
    session: Session,
    split: Any,
    *,
    task: Task | str | None = None,
    batch_size: int = 256,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Measure the headline metric of the data's task, as the accuracy of a classifier, in the runtime that the session belongs to.

    Parameters
    ----------
    session : Session
        An opened model.
    split : Split, Dataset or iterable of batches
        As for :func:`prunekit.evaluate`.
    task : Task or str, optional
        Left out, that of the data.
    batch_size : int
        Samples at a time; fewer where they are large.
    progress : callable, optional
        Called as ``progress(fraction, text)`` after each batch.
    cancel : threading.Event, optional
        Looked at before each batch.

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
        If ``cancel`` was set.
    """
    hooks: dict[str, Any] = {"batch_size": batch_size, "progress": Progress.of(progress, cancel)}
    judge, classes = resolve(None, split, task), classes_of(split)
    if isinstance(judge, Classification):
        told = replace(judge, scores_of=lambda scores, _: scores)
        return evaluated(lambda batch: scores_of(session, _only(batch), classes), told, split, **hooks)
    return evaluated(lambda batch: _outputs_of(session, _only(batch)), judge, split, **hooks)


def _only(batch: Batch) -> Tensor:
    """Return the one tensor that runtimes take."""
    inputs = [tensor for _, tensor in batch.named_tensors()]
    if len(inputs) != 1:
        raise DataError(f"a runtime takes one tensor, and these samples hold {len(inputs)}: measure them in PyTorch")
    return inputs[0]


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Return samples in parts of at most 16 MiB, one sample at least."""
    return torch.split(x, max(1, MOST_BYTES * len(x) // max(x.nbytes, 1))) if len(x) else (x,)


def _outputs_of(session: Session, x: Tensor) -> dict[str, Tensor]:
    """Return all that a model gives for a batch, however large its samples are."""
    parts = _parts(x)
    return joined([session.outputs(part) for part in parts], [len(part) for part in parts])


def scores_of(session: Session, x: Tensor, classes: int = 0) -> Tensor:
    """Return the class scores of a batch, [N, classes], however large its samples are.

    Parameters
    ----------
    session : Session
        An opened model.
    x : Tensor, shape [N, ...]
        It is passed on in parts of at most 16 MiB, one sample at least.
    classes : int
        How many the data have; 0 where nobody knows.

    Raises
    ------
    ModelError
        If the model gives something else than finite scores for each sample.
    """
    return finite(torch.cat([session.scores(part, classes) for part in _parts(x)]))
