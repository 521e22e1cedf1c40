"""Gradients of the task's loss by the weights of some layers, for the criteria that score by them.

The model is in eval mode, so that BatchNorm keeps its statistics.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from prunekit.criteria.samples import BATCH
from prunekit.criteria.scoring_copy import scoring_copy
from prunekit.criteria.scoring_task import Scores, Task
from prunekit.errors import ModelError
from prunekit.models.layers import weight_name
from prunekit.models.running import finite as finite_scores
from prunekit.models.running import task_of
from prunekit.tasks.batches import batches_of


def losses(task: Task, reduction: str = "mean", size: int = BATCH) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yield the loss of each mini-batch of ``size`` samples, and the weights that it can be differentiated by."""
    assert task.samples is not None
    model, judge = scoring_copy(task.model), task_of(task.model, task.samples)
    weights: list[Tensor] = [model.get_parameter(weight_name(model, name)) for name in task.layers]
    for batch in batches_of(task.samples, size):
        with torch.enable_grad():
            loss = finite_scores(judge.loss(judge.forward(model, batch), batch))
            if not loss.requires_grad:
                raise ModelError(
                    "the model's forward pass lets no gradient through (torch.no_grad, or detach): take that out of it, "
                    "or choose a criterion that needs no gradient, such as l1"
                )
            yield loss * batch.samples if reduction == "sum" else loss, weights


def gradients(task: Task, reduction: str, size: int = BATCH) -> Iterator[Scores]:
    """Yield the gradient of each mini-batch's loss by the weight of every layer, in float32 on the CPU; zeros where none arrives.

    Parameters
    ----------
    task : Task
        What is scored, and on which samples.
    reduction : {"mean", "sum"}
        Of the loss over the samples of a mini-batch.
    size : int
        Samples in a mini-batch.
    """
    for loss, weights in losses(task, reduction, size):
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        yield {name: task.outputs_first(name, gradient).float().cpu() for name, gradient in zip(task.layers, found, strict=True)}


def finite(name: str, product: Tensor) -> Tensor:
    """Return what was made of a layer's gradient, or say that the gradient is not finite."""
    if bool(torch.isfinite(product).all()):
        return product
    raise ModelError(
        f"the gradient of layer {name} holds NaN or infinity on these samples: choose a criterion that needs no gradient, such as l1, "
        "or inputs normalised as the model expects them"
    )
