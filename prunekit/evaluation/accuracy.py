"""Accuracy, always with its interval and its number of samples."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from prunekit.evaluation.batches import Progress, batches_of, check_cancel, eval_mode, length_of
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.models.running import checked_labels, class_scores, classes_of
from prunekit.statistics.proportions import Z95, wilson

__all__ = ["Z95", "Evaluation", "Predictions", "accuracy_of", "evaluate", "predict", "wilson"]


def _outputs(model: nn.Module, split: Any, batch_size: int, cancel: threading.Event | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``(logits, labels)`` batch by batch on the CPU, the model in eval mode and without gradients."""
    classes = classes_of(split)
    for x, y in batches_of(split, batch_size):
        check_cancel(cancel)
        # entered for each batch: a generator must not leave a thread's inference mode on while its consumer runs
        with eval_mode(model), torch.inference_mode():
            logits = class_scores(model, x, classes).cpu()
        yield logits, checked_labels(y.detach().cpu(), logits)


def evaluate(
    model: nn.Module,
    split: Any,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Measure the share of samples whose highest score is their label's.

    Parameters
    ----------
    model : nn.Module
        A classifier; runs in eval mode and is given its training flags back. Of several tensors that it returns the class scores are told
        by the attribute ``output`` of its factory, by their name (``logits``, ``scores``, ``out``) or by the number of classes.
    split : Split, Dataset or iterable of batches
        A split of the catalog such as ``data.test``, a torch dataset of ``(x, int)``, or batches ``(x, labels)``.
    batch_size : int
        Samples at a time (ignored for an iterable of batches).
    progress : callable, optional
        Called as ``progress(fraction, text)`` after each batch; the fraction stays 0 where the length is unknown.
    cancel : threading.Event, optional
        Looked at before each batch.

    Returns
    -------
    Evaluation
        Accuracy, fractions in 0..1.

    Raises
    ------
    DataError
        If there are no samples, or a label is outside the model's classes.
    ModelError
        If the model does not run on the samples, does not return finite ``[N, classes]``, or returns several tensors that may be meant.
    Cancelled
        If ``cancel`` was set.
    """
    total = length_of(split)
    right: list[NDArray[np.bool_]] = []
    seen: list[NDArray[np.int64]] = []
    done = 0
    for logits, labels in _outputs(model, split, batch_size, cancel):
        right.append((logits.argmax(1) == labels).numpy())
        seen.append(labels.numpy())
        done += len(labels)
        if progress is not None:
            progress(done / total if total else 0.0, f"{done} of {total} samples" if total else f"{done} samples")
    if not right:
        return accuracy_of(np.zeros(0, dtype=bool))
    return accuracy_of(np.concatenate(right), chance_of(np.concatenate(seen)), getattr(split, "guesses", ()))


def chance_of(labels: ArrayLike) -> float | None:
    """Return the accuracy of always answering the commonest class; None where there is one class only.

    Parameters
    ----------
    labels : array_like of int
        Class of each sample.
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(counts.max() / counts.sum()) if counts.size > 1 else None


@dataclass(frozen=True)
class Predictions:
    """What a model says about each sample.

    Attributes
    ----------
    classes : ndarray of int64, shape [N]
        The class with the highest score.
    confidences : ndarray of float64, shape [N]
        Its softmax probability, 0..1 (not calibrated).
    """

    classes: NDArray[np.int64] = field(compare=False)
    confidences: NDArray[np.float64] = field(compare=False)


def predict(model: nn.Module, x: Tensor, *, batch_size: int = 256) -> Predictions:
    """Return the predicted class and its probability for each sample.

    Parameters
    ----------
    model : nn.Module
        A classifier.
    x : Tensor, shape [N, ...]
        Samples, normalised as the data's split gives them.
    batch_size : int
        Samples at a time.

    Returns
    -------
    Predictions
        One entry for each sample.

    Raises
    ------
    ModelError
        As for :func:`evaluate`.
    """
    with eval_mode(model), torch.inference_mode():
        parts = [class_scores(model, part).cpu().double().softmax(1).max(1) for part in torch.split(x, batch_size) if len(part)]
    if not parts:
        return Predictions(np.zeros(0, np.int64), np.zeros(0))
    return Predictions(torch.cat([part.indices for part in parts]).numpy(), torch.cat([part.values for part in parts]).numpy())
