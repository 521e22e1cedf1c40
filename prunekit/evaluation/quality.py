"""`Evaluation`: what was measured of a model on some samples, with its interval and what a paired comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.errors import DataError
from prunekit.notebook import card, table
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import Task
from prunekit.tasks.text_inputs import TextInputs
from prunekit.tasks.wording import interval, written

ASK = "If it was trained, is it given what it was trained on? Ask about the preprocessing:"
OF_IMAGES = "input size, mean and std, order of the colour channels, and the order of the classes"
OF_TEXTS = "the tokeniser and its marks, the length of a text, and the order of the classes"
OF_OTHERS = "which inputs there are and in which order, how they are scaled, and what the targets stand for"


class Quality(Protocol):
    """A share of right answers with its interval, and what chance is on these samples (None where that is not known)."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def chance(self) -> float | None: ...  # noqa: D102


def by_chance(accuracy: Quality | None) -> bool:
    """Whether the interval of a quality includes chance, or lies on the worse side of it."""
    if accuracy is None or accuracy.chance is None:
        return False
    higher = getattr(accuracy, "metric", ACCURACY).better == HIGHER
    return accuracy.low <= accuracy.chance if higher else accuracy.high >= accuracy.chance


def chance_sentence(dense: Quality | None, pruned: Quality | None = None) -> str:
    """Say which of two accuracies are no better than chance; of the dense model's, ask about the preprocessing. "" where both are."""
    if dense is not None and by_chance(dense):
        task = getattr(dense, "task", None)
        asked = OF_TEXTS if isinstance(task, TextInputs) else OF_IMAGES if getattr(dense, "units", "images") == "images" else OF_OTHERS
        return f"{_no_better_than_chance(dense, 'dense')}. {ASK} {asked}"
    if pruned is not None and by_chance(pruned):
        return f"{_no_better_than_chance(pruned, 'pruned')}: nothing is left of what it knew"
    return ""


def _no_better_than_chance(accuracy: Quality, which: str) -> str:
    """Say that an accuracy is no better than chance."""
    assert accuracy.chance is not None
    metric = getattr(accuracy, "metric", ACCURACY)
    if metric.name != ACCURACY.name:
        value, low, high, chance = map(metric.format, (accuracy.value, accuracy.low, accuracy.high, accuracy.chance))
        best = "where the best answer that does not look at the input gets"
        return f"The {which} model is no better than chance here: {metric.phrase} {value} ({low} to {high}), {best} {chance}"
    return (
        f"The {which} model is no better than chance here: {100 * accuracy.value:.1f} % ({100 * accuracy.low:.1f} to "
        f"{100 * accuracy.high:.1f}), where always answering the commonest class gets {100 * accuracy.chance:.1f} %"
    )


DENSE = "Dense"
"""What the dense model is called where runs are letters."""


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
    task : Task or None
        Whose metric it is, where that is known: its other metrics are told of the same observations.
    """

    value: float
    low: float
    high: float
    n: int
    observations: Observations = field(repr=False, compare=False)
    metric: Metric = field(default=ACCURACY, repr=False, compare=False)
    chance: float | None = field(default=None, compare=False)
    guesses: tuple[str, ...] = field(default=(), compare=False)
    task: Task | None = field(default=None, repr=False, compare=False)
    _others: dict[str, Evaluation] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        observations: Observations,
        metric: Metric,
        chance: float | None = None,
        guesses: Sequence[str] = (),
        *,
        task: Task | None = None,
    ) -> Evaluation:
        """Build from what was observed.

        Raises
        ------
        DataError
            If there are no samples, or they leave the metric undefined.
        """
        value = metric.reduce(observations)
        return cls(value, *metric.interval(observations), observations.n, observations, metric, chance, tuple(guesses), task)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Of a classifier: which samples were right, shape [n]."""
        right = np.asarray(self.observations["correct"] != 0)
        right.setflags(write=False)
        return right

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a classifier's accuracy."""
        return (self.metric.name, self.metric.unit) == (ACCURACY.name, ACCURACY.unit)

    def figures(self, names: Sequence[str] = ()) -> tuple[Metric, ...]:
        """Return what else the observations tell: the task's metrics, its own first, and one for each class by its name."""
        if self.task is None:
            return (self.metric,)
        told = (self.metric, *self.task.metrics, *self.task.by_class(self.observations, names))
        return tuple({each.name: each for each in reversed(told)}[name] for name in dict.fromkeys(each.name for each in told))

    def under(self, metric: Metric) -> Evaluation:
        """Return another figure of the same observations, computed once.

        Raises
        ------
        DataError
            If they leave it undefined.
        """
        if metric.name == self.metric.name:
            return self
        if metric.name not in self._others:
            chance = None if metric.chance is None else metric.chance(self.observations)
            self._others[metric.name] = Evaluation.of(self.observations, metric, chance, self.guesses, task=self.task)
        return self._others[metric.name]

    def to_dict(self) -> dict[str, Any]:
        """Return ``value``, ``low``, ``high`` (None where nothing can be said) and ``n``; of all but accuracy how the metric is shown."""
        low, high = (None if np.isnan(end) else end for end in (self.low, self.high))
        plain = {"value": self.value, "low": low, "high": high, "n": self.n}
        shown = ("title", "unit", "better", "decimals")
        return plain if self.is_accuracy else plain | {"metric": self.metric.name} | {name: getattr(self.metric, name) for name in shown}

    def document(self, every: bool = True) -> dict[str, Any]:
        """Return the JSON of a quality: ``metric``, the headline's name, ``metrics`` by name, ``accuracy`` (None of other tasks).

        Parameters
        ----------
        every : bool
            Tell the task's other metrics, too.
        """
        shown = {name: getattr(self.metric, name) for name in ("title", "unit", "better")}
        told = {self.metric.name: {name: each for name, each in self.to_dict().items() if name in ("value", "low", "high", "n")} | shown}
        for other in self.task.metrics if every and self.task is not None else ():
            try:
                told.setdefault(other.name, other.summary(self.observations) if other.name not in told else {})
            except DataError:  # undefined on these samples, or of columns that are not kept
                continue
        return {"accuracy": self.to_dict() if self.is_accuracy else None, "metric": self.metric.name, "metrics": told}

    def _repr_html_(self) -> str:
        """Return it for a notebook: the metric with its interval, and the task's other metrics."""
        rows = [(each.metric.title, each.text(), each.interval()) for each in (self, *self._more())]
        return card(
            f"{self.metric.title} {self.text()}", f"On {self.n:,} {self.units}; intervals are of 95 %.", table(["", "", "between"], rows)
        )

    def _more(self) -> list[Evaluation]:
        """Return the task's other metrics, those that these observations define."""
        found = []
        for metric in self.task.metrics if self.task is not None else ():
            with suppress(DataError):
                found += [self.under(metric)] if metric.name != self.metric.name else []
        return found

    @property
    def units(self) -> str:
        """What several samples are called."""
        return self.task.units_of_data if self.task is not None else "images" if self.is_accuracy else "samples"

    def text(self) -> str:
        """Return the value as people read it, as in ``97.2 %`` or ``21.4 kWh``."""
        return written(self.metric, self.value)

    def interval(self) -> str:
        """Return the interval as people read it, as in ``96.1 to 98.0 %``; nothing where none can be said."""
        return interval(self.metric, self.low, self.high)


def quality_document(found: Evaluation | None, every: bool = True) -> dict[str, Any]:
    """Return the JSON of a quality, or of none."""
    return {"accuracy": None, "metric": None, "metrics": {}} if found is None else found.document(every)


def accuracy_of(correct: ArrayLike, chance: float | None = None, guesses: Sequence[str] = ()) -> Evaluation:
    """Return the accuracy of a classifier from which samples were right.

    Raises
    ------
    DataError
        If there are no samples.
    """
    right = np.asarray(correct, dtype=bool).reshape(-1, 1)
    return Evaluation.of(Observations(right, ("correct",)), ACCURACY, chance, guesses)
