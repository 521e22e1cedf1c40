"""Whether a quality is better than chance, and what to ask where it is not."""

from __future__ import annotations

from typing import Protocol

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
    """Whether the interval of an accuracy includes chance, or lies below it.

    Parameters
    ----------
    accuracy : Accuracy or Figure, or None
        What was measured, and what chance is; nothing is said where that is not known.
    """
    return accuracy is not None and accuracy.chance is not None and accuracy.low <= accuracy.chance


def chance_sentence(dense: Quality | None, pruned: Quality | None = None) -> str:
    """Say which of two accuracies are no better than chance; of the dense model's, ask about the preprocessing. "" where both are.

    Parameters
    ----------
    dense, pruned : Accuracy or None
        Of the model as it is, and of what pruning left of it.
    """
    if dense is not None and by_chance(dense):
        return f"{_told(dense, 'dense')}. {ASK}"
    if pruned is not None and by_chance(pruned):
        return f"{_told(pruned, 'pruned')}: nothing is left of what it knew"
    return ""


def _told(accuracy: Quality, which: str) -> str:
    """Say that an accuracy is no better than chance."""
    assert accuracy.chance is not None
    return (
        f"The {which} model is no better than chance here: {100 * accuracy.value:.1f} % ({100 * accuracy.low:.1f} to "
        f"{100 * accuracy.high:.1f}), where always answering the commonest class gets {100 * accuracy.chance:.1f} %"
    )
