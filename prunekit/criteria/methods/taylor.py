"""Taylor: how much the loss moves, to first order, without a weight or a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask

if TYPE_CHECKING:
    from torch import Tensor


def taylor(task: ScoringTask) -> Scores:
    """Return how much the loss moves, to first order, when a weight is set to zero.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning; arXiv:1906.10771. ``score = mean((g[b] * w) ** 2 for b)``
    with ``g[b]`` the gradient of the mean loss of mini-batch ``b``. With one mini-batch it ranks as SNIP does. In float32 an
    ``abs(g * w)`` below 4e-23 squares to 0: gradients vanish so far in networks before training.
    """
    return _mean_square(task, lambda product: product)


def channel_taylor(task: ScoringTask) -> Scores:
    """Return how much the loss moves, to first order, when a filter is set to zero.

    Molchanov et al. 2019; arXiv:1906.10771. ``score = mean(sum(g[b] * w over the filter) ** 2 for b)``, the mini-batches ``b`` as
    for :func:`taylor`. Effects of a filter's weights that cancel out do not count.
    """
    import torch

    return _mean_square(task, lambda product: product.flatten(1).sum(1, dtype=torch.float64))


def _mean_square(task: ScoringTask, reduce: Callable[[Tensor], Tensor]) -> Scores:
    """Return the mean over mini-batches of the square of ``g * w``, reduced."""
    from prunekit.criteria.gradients import finite, gradients

    total: Scores = {}
    count = 0
    for of_batch in gradients(task, "mean"):
        count += 1
        for name, gradient in of_batch.items():
            square = finite(name, reduce(gradient * task.weight(name)).square())
            total[name] = total[name] + square if name in total else square
    return {name: square / count for name, square in total.items()}


TAYLOR = Criterion(
    name="taylor",
    title="Taylor",
    formula="mean over mini-batches of (gradient · w)²; channel: of (sum of gradient · w over its filter)²",
    source="Molchanov et al. 2019, arXiv:1906.10771",
    advice="When the loss should decide: from training samples it estimates how much the loss moves without the weight or channel.",
    weight=taylor,
    channel=channel_taylor,
    needs_data=True,
    block="total",  # a block's effect on the loss is that of all its channels
    order=50,
)
