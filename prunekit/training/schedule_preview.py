"""What a recovery will do, before it does it: sparsity and learning rate against time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.models.training_recipe import training_of
from prunekit.training.learning_rate import rates_of
from prunekit.training.pruning_steps import settings_of
from prunekit.training.train_config import steps_of

MOST_POINTS = 40  # drawn for each epoch


@dataclass(frozen=True)
class Moment:
    """One moment of a recovery.

    Attributes
    ----------
    epoch : float
        Epochs of fine-tuning that went before.
    sparsity : float
        Share removed by then.
    lr : float
        Learning rate of the step that follows.
    """

    epoch: float
    sparsity: float
    lr: float


def planned(model: nn.Module, spec: PruneSpec, recovery: Recovery, images: int) -> list[Moment]:
    """Return the moments of a recovery in order of time."""
    settings, recipe, steps = settings_of(spec, recovery), training_of(model), steps_of(images, recovery.batch_size)
    found, begin = list[Moment](), 0
    stride = max(1, steps // MOST_POINTS)
    for setting, epochs in zip(settings, recovery.shares(), strict=True):
        share = float(setting.sparsity or 0.0)
        rates = rates_of(recovery, epochs, steps, recipe)
        found += [Moment(begin + step / steps, share, rate) for step, rate in list(enumerate(rates))[::stride]]
        begin += epochs
        if rates:
            found.append(Moment(float(begin), share, rates[-1]))
    return found
