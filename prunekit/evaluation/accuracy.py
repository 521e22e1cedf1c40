"""Evaluation of a model on samples: its task's headline metric, always with its interval and the number of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.errors import DataError
from prunekit.evaluation.progress import QUIET, Progress, Tell, eval_mode
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.models.running import class_scores, task_of
from prunekit.statistics.proportions import Z95, wilson
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, fitting, length_of
from prunekit.tasks.metrics import Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import Task

__all__ = ["Z95", "Evaluation", "Predictions", "accuracy_of", "each_batch", "evaluate", "evaluated", "evaluation_of", "predict", "wilson"]

T = TypeVar("T")


def evaluate(
    model: nn.Module,
    split: Any,
    *,
    task: Task | str | None = None,
    batch_size: int = 256,
    progress: Progress | Tell = QUIET,
) -> Evaluation:
    """Measure the headline metric of a model's task: of a classifier the share of samples whose highest score is their label's.

    Parameters
    ----------
    model : nn.Module
        Runs in eval mode and is given its training flags back. Of several tensors that a classifier returns the class scores are told
        by the attribute ``output`` of its factory, by their name (``logits``, ``scores``, ``out``) or by the number of classes.
    split : Split, Dataset or iterable of batches
        A split of `load_data` such as ``data.test``, a torch dataset of ``(inputs, target)``, or batches ``(inputs, targets)``; inputs are
        a tensor, a tuple or a dict.
    task : Task or str, optional
        Left out, that of the model and its data (:func:`prunekit.tasks.resolve`).
    batch_size : int
        Samples at a time (ignored for an iterable of batches).
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.

    Returns
    -------
    Evaluation
        In the metric's own unit; accuracy is a fraction in 0..1.

    Raises
    ------
    DataError
        If there are no samples, or their targets are not such as the task needs, as a label outside the model's classes.
    ModelError
        If the model does not run on the samples, or does not return what the task needs, or NaN or infinity.
    TaskError
        If model and data name different tasks.
    Cancelled
        If ``progress`` was cancelled.
    """
    progress = Progress.of(progress)
    judge = task_of(model, split, task)

    def forward(batch: Batch) -> Any:
        with eval_mode(model):
            return judge.forward(model, batch)

    return evaluated(forward, judge, split, batch_size=batch_size, progress=progress)


def evaluated(
    forward: Callable[[Batch], Any],
    task: Task,
    split: Any,
    *,
    batch_size: int = 256,
    progress: Progress = QUIET,
) -> Evaluation:
    """Measure the headline metric of whatever answers batches; parameters and errors as for :func:`evaluate`."""

    def observe(batch: Batch) -> Observations:
        return task.observe(forward(batch), batch)

    seen = list(each_batch(observe, split, batch_size=batch_size, progress=progress, units=task.units_of_data))
    if not seen:
        raise DataError(f"there are no samples to measure {task.headline.title} on: choose data that are not empty")
    return evaluation_of(Observations.concat(seen), task.headline, getattr(split, "guesses", ()), task)


def each_batch(
    look: Callable[[Batch], T], split: Any, *, batch_size: int = 256, progress: Progress = QUIET, units: str = "samples"
) -> Iterator[T]:
    """Yield what is made of each batch, without gradients: the loop of all that only looks at samples."""
    total, done = length_of(split), 0
    for batch in batches_of(split, fitting(split, batch_size)):
        progress.check()
        with torch.inference_mode():
            found = look(batch)
        done += batch.samples
        progress(done / total if total else 0.0, f"{done:,} of {total:,} {units}" if total else f"{done:,} {units}")
        yield found


def evaluation_of(seen: Observations, metric: Metric, guesses: Sequence[str] = (), task: Task | None = None) -> Evaluation:
    """Return a metric of what was observed, beside that of the best answer that does not look at the input."""
    chance = float("nan") if metric.chance is None else metric.chance(seen)
    return Evaluation.of(seen, metric, None if np.isnan(chance) else chance, guesses, task=task)


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

    @classmethod
    def of(cls, scores: Iterable[Tensor]) -> Self:
        """Return what class scores say, [n, classes] in each of the tensors."""
        parts = [part.cpu().double().softmax(1).max(1) for part in scores]
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0))
        return cls(torch.cat([part.indices for part in parts]).numpy(), torch.cat([part.values for part in parts]).numpy())


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
        return Predictions.of(class_scores(model, part) for part in torch.split(x, batch_size) if len(part))
