"""OBD: Optimal Brain Damage, the second-order term of what the loss loses with a weight."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask


def obd(task: ScoringTask) -> Scores:
    """Return ``abs(h) * w ** 2 / 2`` with ``h`` the diagonal of the Hessian of the mean loss.

    LeCun, Denker and Solla 1989, Optimal Brain Damage. ``h`` is estimated by Hutchinson's method, so it holds for any model and loss; where
    it is negative, the loss is no minimum there and the size of the change counts.
    """
    from prunekit.criteria.gradients import hessian_diagonal

    return {name: h.abs() * task.weight(name).square() / 2 for name, h in hessian_diagonal(task).items()}


def channel_obd(task: ScoringTask) -> Scores:
    """Return the size of the sum of ``h * w ** 2 / 2`` over each filter: estimates of single weights average out."""
    import torch

    from prunekit.criteria.gradients import hessian_diagonal

    found = {name: h * task.weight(name).square() / 2 for name, h in hessian_diagonal(task).items()}
    return {name: each.flatten(1).sum(1, dtype=torch.float64).abs() for name, each in found.items()}


OBD = Criterion(
    name="obd",
    title="Optimal Brain Damage",
    formula="|h| · w² / 2 with h the diagonal of the Hessian; channel: size of its sum over the filter",
    source="LeCun et al. 1989; h as in Yao et al. 2021, arXiv:2006.00719",
    advice="When a trained network's gradients say little: it asks how the loss curves. Two passes backward for each batch.",
    weight=obd,
    channel=channel_obd,
    needs_data=True,
    block="total",
    order=54,
)
