"""Hessian trace: how much the loss curves along a whole channel, times the size of its filter."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask


def hutchinson(task: ScoringTask) -> Scores:
    """Return ``abs(trace(H[c])) / (2 * n) * sum(w ** 2)`` for each filter ``c`` of ``n`` weights.

    Yu et al. 2022, Hessian-Aware Pruning and Optimal Neural Implant; arXiv:2101.08940. The trace of a channel's block of the Hessian is the
    sum of the diagonal, which Hutchinson's method estimates; within a filter no weight counts more than another.
    """
    import torch

    from prunekit.criteria.gradients import hessian_diagonal

    found: Scores = {}
    for name, h in hessian_diagonal(task).items():
        trace = h.flatten(1).mean(1, dtype=torch.float64)
        found[name] = trace.abs() / 2 * task.weight(name).flatten(1).square().sum(1, dtype=torch.float64)
    return found


HUTCHINSON = Criterion(
    name="hutchinson",
    title="Hessian trace",
    formula="channel: |trace of its Hessian| / 2n · sum of w² over its filter of n weights",
    source="Yu et al. 2022, arXiv:2101.08940",
    advice="Hessian-aware pruning of channels: the mean curvature of a filter is surer than that of each of its weights.",
    channel=hutchinson,
    needs_data=True,
    block="total",
    only="the trace belongs to a whole channel; obd is its counterpart for single weights",
    order=56,
)
