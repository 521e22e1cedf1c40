"""Activation magnitude: how large what a layer gives is, on average over training samples."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask


def activation(task: ScoringTask) -> Scores:
    """Return the mean absolute value of each output of a layer, over samples and positions.

    Muralidharan et al. 2024, Compact Language Models via Pruning and Knowledge Distillation (Minitron); arXiv:2407.14679. The paper looks
    at heads, at the neurons of an MLP and at the hidden channels behind each norm; here a channel is looked at where the layers that are
    coupled make it and, where readers are counted, as they read it.
    """
    from prunekit.criteria.activations import mean_sizes

    return mean_sizes(task)


ACTIVATION = Criterion(
    name="activation",
    title="Activation magnitude",
    formula="mean |output| of the channel, over samples and positions; of a reader: mean |input|",
    source="Muralidharan et al. 2024 (Minitron), arXiv:2407.14679",
    advice="For widths of language models, before distillation: it needs forward passes alone, and a few hundred samples.",
    channel=activation,
    needs_data=True,
    only="activation magnitude looks at what channels give, which is no matter of single weights",
    order=65,
)
