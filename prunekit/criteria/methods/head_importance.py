"""Head importance: how much the loss moves, to first order, when a head or a channel is switched off, on each sample by itself."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask


def head_importance(task: ScoringTask) -> Scores:
    """Return what each channel of a layer has to do with the loss of each sample: ``[channels, samples]``, the sums of gradient and weight.

    Michel, Levy and Neubig 2019, Are Sixteen Heads Really Better than One?; arXiv:1905.10650: the importance of a head is the mean over
    samples of the absolute derivative of the loss by a factor of its output. By the chain rule that derivative is the sum of
    ``gradient * weight`` over the weights that make the head's values (without a bias), or that read its output. What goes together is
    added up within a sample before the absolute value is taken: a head's dimensions may cancel out.
    """
    import torch

    from prunekit.criteria.gradients import finite, gradients

    found: dict[str, list[torch.Tensor]] = {name: [] for name in task.layers}
    for of_sample in gradients(task, "mean", size=1):
        for name, gradient in of_sample.items():
            found[name].append(finite(name, gradient * task.weight(name)).flatten(1).sum(1, dtype=torch.float64))
    return {name: torch.stack(parts, 1) for name, parts in found.items()}


HEAD_IMPORTANCE = Criterion(
    name="head_importance",
    title="Head importance",
    formula="mean over samples of |sum of gradient · w over all that a channel or a head consists of|",
    source="Michel et al. 2019, arXiv:1905.10650",
    advice="For heads of attention: a head counts as a whole, on each sample. It takes a backward pass for every sample.",
    channel=head_importance,
    needs_data=True,
    by_sample=True,
    block="total",
    only="head importance tells of heads and channels as a whole, and no single weight is one",
    order=53,
)
