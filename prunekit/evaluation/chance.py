"""Whether a quality is better than chance, and what to ask where it is not."""

from __future__ import annotations

from typing import Protocol

from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER

ASK = (
    "If it was trained, is it given what it was trained on? Ask about the preprocessing: input size, mean and std, order of the colour "
    "channels, and the order of the classes"
)


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
        return f"{_told(dense, 'dense')}. {ASK}"
    if pruned is not None and by_chance(pruned):
        return f"{_told(pruned, 'pruned')}: nothing is left of what it knew"
    return ""


def _told(accuracy: Quality, which: str) -> str:
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
