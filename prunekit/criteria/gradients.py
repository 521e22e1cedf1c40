"""Scores from gradients of the loss.

The loss is the cross-entropy of the class scores, the model in eval mode, so that BatchNorm keeps its statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit.criteria.samples import BATCH
from prunekit.criteria.scoring_task import Scores, Task, twin
from prunekit.errors import ModelError
from prunekit.models.layers import weight_name
from prunekit.models.running import checked_labels, class_scores, classes_of


def taylor(task: Task) -> Scores:
    """Return how much the loss moves, to first order, when a weight is set to zero.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning; arXiv:1906.10771. ``score = mean((g[b] * w) ** 2 for b)``
    with ``g[b]`` the gradient of the mean loss of mini-batch ``b``. With one mini-batch it ranks as :func:`snip` does. In float32 an
    ``abs(g * w)`` below 4e-23 squares to 0: gradients vanish so far in networks before training.
    """
    return _mean_square(task, lambda product: product)


def channel_taylor(task: Task) -> Scores:
    """Return how much the loss moves, to first order, when a filter is set to zero.

    Molchanov et al. 2019; arXiv:1906.10771. ``score = mean(sum(g[b] * w over the filter) ** 2 for b)``, the mini-batches ``b`` as
    for :func:`taylor`. Effects of a filter's weights that cancel out do not count.
    """
    return _mean_square(task, lambda product: product.flatten(1).sum(1, dtype=torch.float64))


def snip(task: Task) -> Scores:
    """Return each weight's share of the sensitivity of the loss to all scored weights.

    Lee et al. 2019, SNIP: Single-shot Network Pruning based on Connection Sensitivity; arXiv:1810.02340.
    ``score = abs(g * w) / sum(abs(g * w))``, the sum over all scored layers, with ``g`` the gradient of the mean loss of all scored
    samples. With one mini-batch it ranks as :func:`taylor` does; with several, ``g`` lets their gradients cancel out.
    """
    total: Scores = {}
    for gradients in _gradients(task, "sum"):  # not divided by the number of samples: the share is the same
        total = {name: gradient + total[name] if name in total else gradient for name, gradient in gradients.items()}
    scores = {name: _finite(name, (gradient * task.weight(name)).abs()) for name, gradient in total.items()}
    whole = sum(float(score.sum(dtype=torch.float64)) for score in scores.values())
    return {name: (score.double() / whole).float() if whole > 0 else score for name, score in scores.items()}


def _mean_square(task: Task, reduce: Callable[[Tensor], Tensor]) -> Scores:
    """Return the mean over mini-batches of the square of ``g * w``, reduced."""
    total: Scores = {}
    count = 0
    for gradients in _gradients(task, "mean"):
        count += 1
        for name, gradient in gradients.items():
            square = _finite(name, reduce(gradient * task.weight(name)).square())
            total[name] = total[name] + square if name in total else square
    return {name: square / count for name, square in total.items()}


def _gradients(task: Task, reduction: str) -> Iterator[Scores]:
    """Yield the gradient of each mini-batch's loss by the weight of every layer, in float32 on the CPU; zeros where none arrives."""
    assert task.images is not None
    model, classes = twin(task.model), classes_of(task.images)
    weights = [model.get_parameter(weight_name(model, name)) for name in task.layers]
    for x, y in task.images.batches(BATCH):
        with torch.enable_grad():
            scores = class_scores(model, x, classes)
            loss = F.cross_entropy(scores.float(), checked_labels(y, scores), reduction=reduction)
            if not loss.requires_grad:
                raise ModelError(
                    "the model's forward pass lets no gradient through (torch.no_grad, or detach): take that out of it, "
                    "or choose a criterion that needs no gradient, such as l1"
                )
            found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        yield {name: gradient.float().cpu() for name, gradient in zip(task.layers, found, strict=True)}


def _finite(name: str, product: Tensor) -> Tensor:
    """Return what was made of a layer's gradient, or say that the gradient is not finite."""
    if bool(torch.isfinite(product).all()):
        return product
    raise ModelError(
        f"the gradient of layer {name} holds NaN or infinity on these images: choose a criterion that needs no gradient, such as l1, "
        "or images normalised as the model expects them"
    )
