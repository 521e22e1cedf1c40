"""Running a classifier: its class scores and its labels, and errors that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.tasks.classification import checked_labels

__all__ = ["checked_labels", "class_scores", "run", "scores_in", "tensors_in"]


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


def tensors_in(out: Any) -> Iterator[Tensor]:
    """Yield the tensors of a model's output in order."""
    if isinstance(out, Tensor):
        yield out
        return
    if isinstance(out, Mapping):
        out = list(out.values())
    elif is_dataclass(out) and not isinstance(out, type):
        out = [getattr(out, field.name) for field in fields(out)]
    if isinstance(out, (list, tuple)):
        for part in out:
            yield from tensors_in(part)


def scores_in(out: Any, samples: int) -> Tensor:
    """Return the class scores in a model's output, finite or not.

    Parameters
    ----------
    out : Tensor or tuple, mapping, dataclass of them
        What the model returned.
    samples : int
        Size of the batch.

    Returns
    -------
    Tensor, shape [N, classes]
        The first floating tensor of this shape.

    Raises
    ------
    ModelError
        If there is none.
    """
    scores = next((t for t in tensors_in(out) if t.is_floating_point() and t.ndim == 2 and len(t) == samples), None)
    if scores is None:
        got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ModelError(f"the model must return [N, classes], here [{samples}, classes]; got {got}. It has to be a classifier")
    return scores


def class_scores(out: Any, samples: int) -> Tensor:
    """Return the class scores in a model's output; parameters and return as for :func:`scores_in`.

    Raises
    ------
    ModelError
        If there are none, or they hold NaN or infinity.
    """
    scores = scores_in(out, samples)
    if not bool(torch.isfinite(scores).all()):
        raise ModelError("the model's output holds NaN or infinity: its weights are damaged, or the inputs are out of range")
    return scores
