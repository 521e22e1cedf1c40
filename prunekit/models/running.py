"""Running a classifier: its class scores and its labels, and errors that a person can act on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.models.outputs import choice_of, scores_in, tensors_of
from prunekit.tasks.classification import checked_labels

__all__ = ["checked_labels", "class_scores", "classes_of", "run", "scores_in", "tensors_of"]


def run(model: nn.Module, x: Tensor) -> Any:
    """Return what a model makes of one batch, moved to its device and type.

    Raises
    ------
    ModelError
        If the model does not run on such an input.
    """
    place = next(model.parameters(), x)
    if x.is_floating_point() and place.is_floating_point():
        x = x.to(place.dtype)
    try:
        return model(x.to(place.device))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the model does not run on samples of shape {list(x.shape[1:])}: {lines[0]}. "
            "Choose data of the shape that it was made for, or give the input size"
        ) from error


def outputs_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return all tensors that a model gives for one batch, by path, on the CPU and without gradients; the model is in eval mode."""
    with torch.no_grad():
        return {path: tensor.cpu() for path, tensor in tensors_of(run(model, x)).items()}


def raw_scores(model: nn.Module, x: Tensor, classes: int = 0) -> Tensor:
    """Return a model's class scores for one batch, finite or not; parameters and errors as for :func:`class_scores`."""
    return scores_in(run(model, x), len(x), choice_of(model, classes))


def class_scores(model: nn.Module, x: Tensor, classes: int = 0) -> Tensor:
    """Return a model's class scores for one batch.

    Parameters
    ----------
    model : nn.Module
        Run as it is; which of several tensors are the scores is told by :mod:`prunekit.models.outputs`.
    x : Tensor, shape [N, ...]
        Moved to the model's device and type.
    classes : int
        How many the data have; 0 where nobody knows.

    Returns
    -------
    Tensor, shape [N, classes]

    Raises
    ------
    ModelError
        If the model does not run on such an input, returns no class scores or several tensors that may be meant, or NaN or infinity.
    """
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
        known = getattr(data, "labels", getattr(data, "targets", None))
        return told or (0 if known is None or not len(known) else int(torch.as_tensor(known).max()) + 1)
    return len(told)
