"""Fisher: how much the loss curves along a weight, by the squares of single samples' gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask

if TYPE_CHECKING:
    from torch import Tensor


def fisher(task: ScoringTask) -> Scores:
    """Return ``F * w ** 2 / 2`` with ``F`` the mean over single samples of the squared gradient of their loss.

    Theis et al. 2018, Faster Gaze Prediction with Dense Networks and Fisher Pruning; arXiv:1801.05787. The empirical Fisher information
    stands for the diagonal of the Hessian in the second-order term of Optimal Brain Damage.
    """
    return _halved(task, lambda product: product)


def channel_fisher(task: ScoringTask) -> Scores:
    """Return the sum of :func:`fisher` over each filter."""
    import torch

    return _halved(task, lambda product: product.flatten(1).sum(1, dtype=torch.float64))


def _halved(task: ScoringTask, reduce: Callable[[Tensor], Tensor]) -> Scores:
    """Return half the mean over samples of ``(g * w) ** 2``, reduced."""
    from prunekit.criteria.gradients import finite, gradients

    total: Scores = {}
    count = 0
    for of_sample in gradients(task, "mean", size=1):
        count += 1
        for name, gradient in of_sample.items():
            found = reduce(finite(name, gradient * task.weight(name)).square())
            total[name] = total[name] + found if name in total else found
    return {name: found / (2 * count) for name, found in total.items()}


FISHER = Criterion(
    name="fisher",
    title="Fisher",
    formula="mean over samples of (gradient · w)² / 2; channel: its sum over the filter",
    source="Theis et al. 2018, arXiv:1801.05787",
    advice="A Hessian without second derivatives: where gradients of single samples do not cancel out as those of batches do.",
    weight=fisher,
    channel=channel_fisher,
    needs_data=True,
    block="total",
    order=52,
)
