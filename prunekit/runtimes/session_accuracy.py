"""Accuracy of a model in its runtime."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.evaluation.accuracy import chance_of
from prunekit.evaluation.batches import Progress, batches_of, check_cancel, length_of
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.models.running import checked_labels, classes_of, finite
from prunekit.runtimes.session import Session

MOST_BYTES = 2**24  # of input at a time: what a runtime needs beside it is many times more, and here there is no process to lose


def evaluate_session(
    session: Session,
    split: Any,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Measure the share of samples whose highest score is their label's, in the runtime that the session belongs to.

    Parameters
    ----------
    session : Session
        An opened model.
    split : Split, Dataset or iterable of batches
        As for :func:`prunekit.evaluate`.
    batch_size : int
        Samples at a time; fewer where they are large.
    progress : callable, optional
        Called as ``progress(fraction, text)`` after each batch.
    cancel : threading.Event, optional
        Looked at before each batch.

    Returns
    -------
    Accuracy
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
    total, done, right, seen = length_of(split), 0, [], []
    for x, y in batches_of(split, batch_size):
        check_cancel(cancel)
        scores = scores_of(session, x, classes_of(split))
        labels = checked_labels(y.detach().cpu(), scores)
        right.append((scores.argmax(1) == labels).numpy())
        seen.append(labels.numpy())
        done += len(x)
        if progress is not None:
            progress(done / total if total else 0.0, f"{done} of {total} samples" if total else f"{done} samples")
    if not right:
        return accuracy_of(np.zeros(0, dtype=bool))
    return accuracy_of(np.concatenate(right), chance_of(np.concatenate(seen)), getattr(split, "guesses", ()))


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
    parts = torch.split(x, max(1, MOST_BYTES * len(x) // max(x.nbytes, 1))) if len(x) else (x,)
    return finite(torch.cat([session.scores(part, classes) for part in parts]))
