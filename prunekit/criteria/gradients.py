"""Gradients of the task's loss by the weights of some layers, and how the loss curves along single weights (Hutchinson's method)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.criteria.criterion import Scores, ScoringTask
from prunekit.criteria.samples import BATCH, scoring_copy
from prunekit.errors import ModelError, PrunekitError
from prunekit.models.layers import weight_name
from prunekit.models.running import finite as finite_scores
from prunekit.models.running import task_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of
from prunekit.tasks.protocol import Task

KEPT = 1 << 30
"""Bytes that a forward pass may keep for the way back: a mini-batch that keeps more runs in parts, whose gradients add up to its own."""


def losses(task: ScoringTask, reduction: str = "mean", size: int = BATCH) -> Iterator[tuple[Iterator[Tensor], list[Tensor]]]:
    """Yield, for each mini-batch of ``size`` samples, losses of its parts, which add up to its own, and what to differentiate them by."""
    assert task.samples is not None
    model, judge = scoring_copy(task.model), task_of(task.model, task.samples)
    weights: list[Tensor] = [model.get_parameter(weight_name(model, name)) for name in task.layers]
    at_once = 0
    for batch in batches_of(task.samples, size):
        at_once = at_once or _at_once(model, judge, batch)
        yield _in_parts(model, judge, batch, at_once, batch.samples if reduction == "sum" else 1), weights


def _in_parts(model: nn.Module, judge: Task, batch: Batch, size: int, factor: int) -> Iterator[Tensor]:
    """Yield the losses of a batch's parts, each with the share that it has in the batch's own, times a factor."""
    whole = judge.terms(batch) if size < batch.samples else None
    for start in range(0, batch.samples, size if whole else batch.samples):
        part = batch.take(np.arange(start, min(start + size, batch.samples))) if whole else batch
        with torch.enable_grad():
            loss = finite_scores(judge.loss(judge.forward(model, part), part))
            if not loss.requires_grad:
                raise ModelError(
                    "the model's forward pass lets no gradient through (torch.no_grad, or detach): take that out of it, "
                    f"or choose a criterion that needs no gradient, such as {DEFAULT_CRITERION}"
                )
            loss = loss * (factor * (judge.terms(part) or 0) / whole if whole else factor)
        yield loss


def _at_once(model: nn.Module, judge: Task, batch: Batch) -> int:
    """Return of how many samples a forward pass keeps at most `KEPT` for the way back, by what it keeps of two: all, half of them, ..."""
    kept = dict[int, int]()
    own = {each.untyped_storage().data_ptr() for each in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        kept[place.data_ptr()] = place.nbytes()
        return tensor

    if batch.samples < 3:
        return batch.samples
    few = batch.take(np.arange(2))
    try:
        if judge.terms(batch) is None:
            return batch.samples
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            _loss = judge.loss(judge.forward(model, few), few)  # as long as it lives, so does what is kept
    except PrunekitError:  # the whole batch says what is wrong
        return batch.samples
    each = sum(size for place, size in kept.items() if place not in own) / few.samples
    size = batch.samples
    while size > 1 and size * each > KEPT:
        size = -(-size // 2)
    return size


def gradients(task: ScoringTask, reduction: str, size: int = BATCH) -> Iterator[Scores]:
    """Yield the gradient of each mini-batch's loss by the weight of every layer, in float32 on the CPU; zeros where none arrives."""
    for parts, weights in losses(task, reduction, size):
        found = _summed(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True) for loss in parts)
        plain = [gradient.to_dense() if gradient.is_sparse else gradient for gradient in found]
        yield {name: task.outputs_first(name, gradient).float().cpu() for name, gradient in zip(task.layers, plain, strict=True)}


def _summed(parts: Iterator[Sequence[Tensor]]) -> Sequence[Tensor]:
    """Return the sums of what parts have for each weight."""
    return reduce(lambda total, part: [one + other for one, other in zip(total, part, strict=True)], parts)


def finite(name: str, product: Tensor) -> Tensor:
    """Return what was made of a layer's gradient, or say that the gradient is not finite."""
    if bool(torch.isfinite(product).all()):
        return product
    raise ModelError(
        f"the gradient of layer {name} holds NaN or infinity on these samples: choose a criterion that needs no gradient, such as "
        f"{DEFAULT_CRITERION}, or inputs normalised as the model expects them"
    )


def hessian_diagonal(task: ScoringTask) -> Scores:
    """Return the diagonal of the Hessian of the mean loss by the weight of every layer, in float32 on the CPU.

    Hutchinson 1990, as in Yao et al. 2021, AdaHessian; arXiv:2006.00719. For each mini-batch a vector ``z`` of signs is drawn by the seed,
    and ``z * (H @ z)`` is its estimate: without bias, and exact where the Hessian is diagonal. Their mean is returned; it may be negative.
    """
    source = torch.Generator().manual_seed(task.seed)
    total: Scores = {}
    count = 0
    for parts, weights in losses(task):
        signs = [(2 * torch.randint(2, w.shape, generator=source) - 1).to(w) for w in weights]
        products = _summed(_curved(loss, weights, signs) for loss in parts)
        count += 1
        for name, z, product in zip(task.layers, signs, products, strict=True):
            found = finite(name, task.outputs_first(name, (z * product).detach()).float().cpu())
            total[name] = total[name] + found if name in total else found
    return {name: found / count for name, found in total.items()}


def _curved(loss: Tensor, weights: Sequence[Tensor], signs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the product of a loss's Hessian and a vector of signs, by weight."""
    with torch.enable_grad():
        try:
            first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
            along = torch.stack([(g * z).sum() for g, z in zip(first, signs, strict=True)]).sum()
            if not along.requires_grad:  # a loss that curves nowhere
                return [torch.zeros_like(w) for w in weights]
            return torch.autograd.grad(along, weights, allow_unused=True, materialize_grads=True)
        except RuntimeError as error:
            raise ModelError(
                f"the model has no second derivative ({' '.join(str(error).split())[:120]}): choose criterion fisher or taylor"
            ) from None
