"""Gradients of the task's loss by the weights of some layers, and how the loss curves along single weights (Hutchinson's method)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from prunekit.criteria.samples import BATCH
from prunekit.criteria.scoring_copy import scoring_copy
from prunekit.criteria.scoring_task import Scores, ScoringTask
from prunekit.errors import ModelError
from prunekit.models.layers import weight_name
from prunekit.models.running import finite as finite_scores
from prunekit.models.running import task_of
from prunekit.tasks.batches import batches_of


def losses(task: ScoringTask, reduction: str = "mean", size: int = BATCH) -> Iterator[tuple[Tensor, list[Tensor]]]:
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


def gradients(task: ScoringTask, reduction: str, size: int = BATCH) -> Iterator[Scores]:
    """Yield the gradient of each mini-batch's loss by the weight of every layer, in float32 on the CPU; zeros where none arrives."""
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


def hessian_diagonal(task: ScoringTask) -> Scores:
    """Return the diagonal of the Hessian of the mean loss by the weight of every layer, in float32 on the CPU.

    Hutchinson 1990, as in Yao et al. 2021, AdaHessian; arXiv:2006.00719. For each mini-batch a vector ``z`` of signs is drawn by the seed,
    and ``z * (H @ z)`` is its estimate: without bias, and exact where the Hessian is diagonal. Their mean is returned; it may be negative.
    """
    source = torch.Generator().manual_seed(task.seed)
    total: Scores = {}
    count = 0
    for loss, weights in losses(task):
        with torch.enable_grad():
            try:
                first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
                signs = [(2 * torch.randint(2, w.shape, generator=source) - 1).to(w) for w in weights]
                along = torch.stack([(g * z).sum() for g, z in zip(first, signs, strict=True)]).sum()
                linear = not along.requires_grad  # a loss that curves nowhere
                second = (
                    [torch.zeros_like(w) for w in weights]
                    if linear
                    else torch.autograd.grad(along, weights, allow_unused=True, materialize_grads=True)
                )
            except RuntimeError as error:
                raise ModelError(
                    f"the model has no second derivative ({' '.join(str(error).split())[:120]}): choose criterion fisher or taylor"
                ) from None
        count += 1
        for name, z, product in zip(task.layers, signs, second, strict=True):
            found = finite(name, task.outputs_first(name, (z * product).detach()).float().cpu())
            total[name] = total[name] + found if name in total else found
    return {name: found / count for name, found in total.items()}
