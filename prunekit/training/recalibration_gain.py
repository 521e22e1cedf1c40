"""What recalibration brought, and where it brought nothing, why: told from the statistics and from paired accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn

from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
from prunekit.training.batchnorm import norms_left

HARDLY = 0.05
"""A shift below it is called hardly any: by so many standard deviations, or by this share of one."""
NO_NORMS = "this model has no BatchNorm, so there are no statistics to measure again"


@dataclass(frozen=True)
class Shift:
    """How far the statistics of BatchNorm moved: medians over all channels.

    Attributes
    ----------
    mean : float
        Of the means, in standard deviations.
    deviation : float
        Of the standard deviations, as a share of them.
    channels : int
        How many.
    """

    mean: float
    deviation: float
    channels: int

    @classmethod
    def between(cls, before: nn.Module, after: nn.Module) -> Shift | None:
        """Return the shift from one model to the same with other statistics; None where it has no BatchNorm."""
        means, deviations = [], []
        for old, new in zip(norms_left(before), norms_left(after), strict=True):
            assert old.running_mean is not None and old.running_var is not None
            assert new.running_mean is not None and new.running_var is not None
            scale = (old.running_var + old.eps).sqrt()
            means.append((new.running_mean - old.running_mean).abs() / scale)
            deviations.append(((new.running_var + new.eps).sqrt() / scale - 1).abs())
        if not means:
            return None
        mean, deviation = torch.cat(means), torch.cat(deviations)
        return cls(float(mean.median()), float(deviation.median()), len(mean))

    @property
    def small(self) -> bool:
        """Whether the statistics are hardly others."""
        return self.mean < HARDLY and self.deviation < HARDLY

    def to_dict(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, float]) -> Shift:
        """Build from plain values."""
        return cls(float(plain["mean"]), float(plain["deviation"]), int(plain["channels"]))

    def sentence(self) -> str:
        """Say it in words."""
        return (
            f"the means moved by {self.mean:.2g} standard deviations, these by {100 * self.deviation:.2g} % "
            f"(medians of {self.channels:,} channels)"
        )


def brought(dense: Evaluation, pruned: Evaluation, recalibrated: Evaluation, shift: Shift | None) -> str:
    """Say what recalibration brought and, where that is nothing, why.

    Examples
    --------
    >>> import numpy as np
    >>> one = Accuracy.of(np.ones(100, dtype=bool))
    >>> brought(one, one, one, Shift(0.01, 0.02, 96)).partition(": ")[2]
    'the statistics hardly changed: the means moved by 0.01 standard deviations, these by 2 % (medians of 96 channels)'
    """
    gain, lost = compare(pruned, recalibrated), compare(dense, pruned)
    said = f"Recalibrating BatchNorm brought {gain.sentence()} on the same {gain.n:,} images"
    moved = "" if shift is None else shift.sentence()
    if gain.significant and gain.value > 0:
        return f"{said}: {moved}" if moved else said
    if gain.significant:
        return f"{said}: the statistics of the dense model fit better" + (f", though {moved}" if moved else "")
    if shift is not None and shift.small:
        return f"{said}: the statistics hardly changed: {moved}"
    if not (lost.significant and lost.value < 0):
        return f"{said}: pruning alone lost nothing significant ({lost.sentence()}), so that there was nothing to bring back"
    return f"{said}: " + (f"{moved}, and what that changes cannot be told from chance" if moved else "it cannot be told from chance")
