"""How people speak of the quality in a comparison: of accuracy in words of its own, of any other metric by its title and direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import ordinary
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric
from prunekit.tasks.wording import written


@dataclass(frozen=True)
class QualityWords:
    """What is said of a metric."""

    metric: Metric
    noun: str  # noun, best, better, worse: ``accuracy``, ``most accurate``, ``more accurate``, ``less accurate``
    best: str
    better: str
    worse: str
    harmless: str  # harmless, unharmed: of one run and of several that are not significantly worse than the dense model
    unharmed: str

    @classmethod
    def of(cls, metric: Metric) -> QualityWords:
        """Return the words for a metric."""
        noun = metric.phrase
        if metric.name == ACCURACY.name:
            harmless = "lose no significant accuracy"
            return cls(metric, noun, "most accurate", "more accurate", "less accurate", harmless.replace("lose", "loses"), harmless)
        same = f"not significantly worse in {noun}"
        return cls(metric, noun, f"best in {noun}", f"better in {noun}", f"worse in {noun}", f"is {same}", f"are {same}")

    def value(self, value: float) -> str:
        """Return a value: ``97.5 %``, ``2.31 kWh``."""
        return ordinary(written(self.metric, value))

    def named(self, value: float) -> str:
        """Return a value that says of what: ``mean absolute error 2.31 kWh``; a bare ``97.5 %`` is accuracy."""
        return self.value(value) if self.metric.name == ACCURACY.name else f"{self.noun} {self.value(value)}"

    def all_lose(self, number: int) -> str:
        """Say that all of so many runs are worse than the dense model."""
        if self.metric.name == ACCURACY.name:
            told = {1: "it loses", 2: "both lose"}.get(number, f"all {number} lose") + " significant accuracy"
        else:
            told = {1: "it is", 2: "both are"}.get(number, f"all {number} are") + f" significantly {self.worse}"
        return told + ("" if number == 1 else ", and this the least")

    def alike(self, one: str, other: str) -> str:
        """Say that two runs do not differ."""
        if self.metric.name == ACCURACY.name:
            return f"the accuracies of {one} and {other} do not differ significantly"
        return f"{one} and {other} do not differ significantly in {self.noun}"

    def goodness(self, found: Evaluation | None) -> float:
        """Return a value so that more is better, the least of all where there is none."""
        if found is None:
            return -float("inf")
        return self.metric.loss(found.value, 0.0)


def quality_of(found: Iterable[Evaluation | None]) -> Metric:
    """Return the metric of some evaluations: accuracy where nothing was measured."""
    return next((each.metric for each in found if each is not None), ACCURACY)
