"""Running a classifier: its class scores and its labels, and errors that a person can act on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.models.outputs import Choice, choice_of, export_names, input_names, scores_in, tensors_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.classification import Classification, checked_labels
from prunekit.tasks.from_file import OwnTask
from prunekit.tasks.input_form import HEADS
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve

__all__ = ["checked_labels", "class_scores", "classes_of", "run", "scores_in", "task_of", "tensors_of"]


def task_of(model: nn.Module | None, data: Any = None, asked: str | Task | None = None) -> Task:
    """Return the task of a model and its data; of a classifier it knows which of the model's tensors holds the class scores."""
    task = resolve(model, data, asked) if asked is None or isinstance(asked, str) else asked
    if not isinstance(task, Classification):
        return task
    known = classes_of(data)
    choice = Choice(None, (known,) if known else ()) if model is None else choice_of(model, known)
    return replace(task, scores_of=lambda output, samples: scores_in(output, samples, choice))


def run(model: nn.Module, x: Tensor | Batch) -> Any:
    """Return what a model makes of one batch, moved to its device and type."""
    return HEADS.forward(model, Batch.of(x))


def own_task(model: nn.Module) -> OwnTask | None:
    """Return the user's own task of a model, where it calls the model or names its tensors in a way of its own."""
    task = resolve(model)
    return task if isinstance(task, OwnTask) and (task.has("forward") or task.has("tensors")) else None


def task_tensors(out: Any, own: OwnTask | None) -> dict[str, Tensor]:
    """Return the tensors of an output as the user's own task names them, else by their path in it."""
    return own.tensors(out) if own is not None and own.has("tensors") else tensors_of(out)


def file_outputs(model: nn.Module, out: Any, inputs: Batch) -> dict[str, Tensor]:
    """Return the tensors of an output by what they are called in a file: a classifier's scores ``scores``, else as its task names them."""
    found = task_tensors(out, own_task(model))
    choice = choice_of(model) if isinstance(resolve(model), Classification) else None
    names = export_names(found, inputs.samples, choice, input_names(inputs))
    return dict(zip(names, found.values(), strict=True))


def outputs_of(model: nn.Module, x: Tensor | Batch) -> dict[str, Tensor]:
    """Return all tensors that a model gives for one batch, by path, on the CPU and without gradients; the model is in eval mode."""
    with torch.no_grad():
        return {path: tensor.cpu() for path, tensor in tensors_of(run(model, x)).items()}


def raw_scores(model: nn.Module, x: Tensor | Batch, classes: int = 0) -> Tensor:
    """Return a model's class scores for one batch, finite or not; parameters and errors as for :func:`class_scores`."""
    return scores_in(run(model, x), len(x), choice_of(model, classes))


def class_scores(model: nn.Module, x: Tensor | Batch, classes: int = 0) -> Tensor:
    """Return a model's class scores for one batch, [N, classes]; ``classes`` is how many the data have, 0 where nobody knows."""
    return finite(raw_scores(model, x, classes))


def finite(scores: Tensor) -> Tensor:
    """Return scores, or raise `ModelError` where they hold NaN or infinity."""
    if not bool(torch.isfinite(scores).all()):
        raise ModelError("the model's output holds NaN or infinity: its weights are damaged, or the inputs are out of range")
    return scores


def classes_of(data: Any) -> int:
    """Return how many classes data or one of their splits have; 0 where nobody knows before reading them."""
    told = getattr(data, "classes", None) or 0
    if isinstance(told, int):
        if not told and getattr(data, "test", None) is not None:
            return classes_of(data.test)
        known = getattr(data, "labels", getattr(data, "targets", None))
        if told or known is None or not len(known):
            return told
        try:
            labels = torch.as_tensor(known)
        except (TypeError, ValueError, RuntimeError):  # no numbers: boxes, say
            return 0
        return 0 if labels.is_floating_point() else int(labels.max()) + 1
    return len(told)
