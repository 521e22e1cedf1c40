"""`Evaluation`: what was measured of a model on some samples, with its interval and what a paired comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric
from prunekit.tasks.observations import Observations


@dataclass(frozen=True)
class Evaluation:
    """A metric of a model on some samples.

    Attributes
    ----------
    value, low, high : float
        The metric and its 95 % interval, in the metric's own unit (a share is in 0..1).
    n : int
        Number of samples.
    observations : Observations
        What was seen of each sample, in the order of the data: what a paired comparison needs. Not part of ``==`` or ``repr``.
    metric : Metric
        What was measured: its name, unit, and which way is better.
    chance : float or None
        The metric of the best answer that does not look at the input; None where that is not known.
    guesses : tuple of str
        What was guessed to prepare the samples, in sentences.
    """

    value: float
    low: float
    high: float
    n: int
    observations: Observations = field(repr=False, compare=False)
    metric: Metric = field(default=ACCURACY, repr=False, compare=False)
    chance: float | None = field(default=None, compare=False)
    guesses: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, observations: Observations, metric: Metric, chance: float | None = None, guesses: Sequence[str] = ()) -> Evaluation:
        """Build from what was observed.

        Raises
        ------
        DataError
            If there are no samples, or they leave the metric undefined.
        """
        value = metric.reduce(observations)
        return cls(value, *metric.interval(observations), observations.n, observations, metric, chance, tuple(guesses))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Of a classifier: which samples were right, shape [n]."""
        right = np.asarray(self.observations["correct"] != 0)
        right.setflags(write=False)
        return right

    def to_dict(self) -> dict[str, float]:
        """Return ``value``, ``low``, ``high`` and ``n``."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def accuracy_of(correct: ArrayLike, chance: float | None = None, guesses: Sequence[str] = ()) -> Evaluation:
    """Return the accuracy of a classifier from which samples were right.

    Raises
    ------
    DataError
        If there are no samples.
    """
    right = np.asarray(correct, dtype=bool).reshape(-1, 1)
    return Evaluation.of(Observations(right, ("correct",)), ACCURACY, chance, guesses)
