"""SNIP: each weight's share of the sensitivity of the loss."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask


def snip(task: ScoringTask) -> Scores:
    """Return each weight's share of the sensitivity of the loss to all scored weights.

    Lee et al. 2019, SNIP: Single-shot Network Pruning based on Connection Sensitivity; arXiv:1810.02340.
    ``score = abs(g * w) / sum(abs(g * w))``, the sum over all scored layers, with ``g`` the gradient of the mean loss of all scored
    samples. With one mini-batch it ranks as Taylor does; with several, ``g`` lets their gradients cancel out.
    """
    import torch

    from prunekit.criteria.gradients import finite, gradients

    total: Scores = {}
    for of_batch in gradients(task, "sum"):  # not divided by the number of samples: the share is the same
        total = {name: gradient + total[name] if name in total else gradient for name, gradient in of_batch.items()}
    scores = {name: finite(name, (gradient * task.weight(name)).abs()) for name, gradient in total.items()}
    whole = sum(float(score.sum(dtype=torch.float64)) for score in scores.values())
    return {name: (score.double() / whole).float() if whole > 0 else score for name, score in scores.items()}


SNIP = Criterion(
    name="snip",
    title="SNIP",
    formula="|gradient · w| / sum of it over all scored weights",
    source="Lee et al. 2019, arXiv:1810.02340",
    advice="Made for networks before training; in a trained one the gradients of the samples nearly cancel out, and Taylor sees more.",
    weight=snip,
    needs_data=True,
    only="SNIP is the sensitivity of single connections; Taylor is its counterpart for channels",
    order=60,
)
