"""Classification of images, text, audio or tables: one score for each class, one label for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit.errors import DataError, ModelError
from prunekit.tasks.base import OUTPUT, BaseTask
from prunekit.tasks.faults import check_finite
from prunekit.tasks.metrics import proportion
from prunekit.tasks.observations import Observations
from prunekit.tasks.shown import Bars, Prompt, Reader, named
from prunekit.tasks.text_inputs import TextInputs

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch

Scores = Callable[[Any, int], "Tensor"]


def scores_in(output: Any, samples: int) -> Tensor:
    """Return the class scores in a model's output: its first floating table with a row for each sample, [samples, classes]."""
    from prunekit.tasks.nested import named_tensors  # noqa: PLC0415 (a task's name and metrics need no torch)

    tensors = dict(named_tensors(output, OUTPUT))
    found = next((each for each in tensors.values() if each.is_floating_point() and each.ndim == 2 and len(each) == samples), None)
    if found is None:
        listed = "; ".join(f"{name} {list(each.shape)}" for name, each in tensors.items()) or type(output).__name__
        raise ModelError(f"the model must return [N, classes], here [{samples}, classes]; got {listed}. It has to be a classifier")
    return found


def checked_labels(labels: Tensor, scores: Tensor) -> Tensor:
    """Return labels as int64 beside their class scores, or say what is wrong with them."""
    samples, classes = scores.shape
    if labels.ndim != 1 or len(labels) != samples or labels.is_floating_point():
        raise DataError(f"need one integer label for each of {samples} samples; got {labels.dtype} of shape {list(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise DataError(f"label {wrong} is outside 0..{classes - 1}: the model has {classes} classes; choose data with the same classes")
    return labels.to(scores.device).long()


def _most_frequent(seen: Observations) -> float:
    """Return the accuracy of always naming the most frequent class; NaN where there is one class only, or nobody kept the labels."""
    if "label" not in seen.columns:
        return float("nan")
    counts = np.unique(seen["label"], return_counts=True)[1]
    return float(counts.max() / seen.n) if len(counts) > 1 else float("nan")


ACCURACY = proportion("accuracy", "Accuracy", "correct", _most_frequent)


@dataclass(frozen=True)
class Classification(BaseTask):
    """One of several classes for each sample.

    Parameters
    ----------
    scores_of : callable
        ``(output, samples)`` -> the tensor [samples, classes] among those that the model returned.
    smoothing : float
        Share of the target that the loss spreads over all classes (Szegedy et al. 2016).
    """

    scores_of: Scores = field(default=scores_in, compare=False, repr=False)
    smoothing: float = 0.0

    given_as = "imagefolder:PATH"

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy, the mean over samples.

        Raises
        ------
        DataError
            If there is not one integer label for each sample, or one is outside the model's classes.
        """
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        scores = self.scores_of(output, batch.samples)
        labels = self._labels(batch, scores)
        scores = scores.float() if scores.itemsize < 4 else scores  # halves would round the loss away
        return functional.cross_entropy(scores, labels, label_smoothing=self.smoothing)

    def terms(self, batch: Batch) -> int:
        """Return how many terms the loss is the mean of: one for each sample."""
        return batch.samples

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return the Kullback-Leibler divergence from the teacher's softened classes, times temperature squared (Hinton et al. 2015)."""
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        own, theirs = (self.scores_of(each, batch.samples) / temperature for each in (output, teacher))
        divergence = functional.kl_div(own.log_softmax(1), theirs.softmax(1), reduction="batchmean")
        return divergence * temperature**2

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return the columns ``correct`` (0 or 1), ``predicted`` and ``label`` (class indices).

        Raises
        ------
        ModelError
            If the scores hold NaN or infinity.
        DataError
            As for `loss`.
        """
        scores = self.scores_of(output, batch.samples).detach()
        check_finite(scores)
        labels, predicted = self._labels(batch, scores), scores.argmax(1)
        return Observations.of(correct=predicted == labels, predicted=predicted, label=labels)

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Bars:
        """Return how sure the model is of each class: the softmax of its scores."""
        shares = self.scores_of(output, batch.samples)[0].detach().double().softmax(0).cpu().numpy()
        return Bars("Class", shares, named(reader.classes))

    def _labels(self, batch: Batch, scores: Tensor) -> Tensor:
        """Return the labels, checked."""
        if not hasattr(batch.targets, "is_floating_point"):
            raise DataError(f"need one integer label for each of {batch.samples} samples; got {type(batch.targets).__name__}")
        return checked_labels(batch.targets, scores)


@dataclass(frozen=True)
class TextClassification(TextInputs, Classification):
    """One of several classes for each text, which is read as token ids."""

    given_as = "csv:PATH"

    @property
    def prompt(self) -> Prompt:
        """A text of one's own."""
        return Prompt("A text of your own", "The model is asked anew whenever it changes: Ctrl and Enter, or a click elsewhere.")


IMAGES = Classification("image-classification", "image classification", (ACCURACY,), "image", "images")
TEXT = TextClassification("text-classification", "text classification", (ACCURACY,), "text", "texts")
AUDIO = Classification("audio-classification", "audio classification", (ACCURACY,), "clip", "clips")
TABLES = Classification("table-classification", "table classification", (ACCURACY,), "row", "rows")
