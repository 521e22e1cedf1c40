"""The answer to a lesson as it was measured, and what is said about a guess of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from prunekit.lessons.lesson import Guess, Value


@dataclass(frozen=True)
class Verdict:
    """What is said about a guess.

    Attributes
    ----------
    right : bool
        Near enough, or the right choice.
    sentence : str
        How far off it was, in its unit.
    """

    right: bool
    sentence: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What was measured.

    Attributes
    ----------
    value : float or str
        The right guess: a number in the guess's unit, or one of its options.
    shown : str
        The value as a person reads it, such as ``93.2 %``.
    sentences : tuple of (str, str)
        The point of the lesson, said about these figures.
    frames : dict of str to DataFrame
        What the picture and the table are drawn from.
    numbers : dict of str to float
        Every figure of the sentences, by name.
    settings : dict
        Fields of the dashboard's settings: the same thing on the real page.
    guess : Guess
        The scale that a guess is judged on.
    """

    value: Value
    shown: str
    sentences: tuple[str, str]
    frames: Mapping[str, pd.DataFrame] = field(repr=False)
    numbers: Mapping[str, float] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    guess: Guess = field(repr=False)

    def verdict(self, guess: object) -> Verdict:
        """Return what is to be said about a guess.

        Raises
        ------
        PrunekitError
            If it is not on the scale or not among the options.
        """
        said = self.guess.checked(guess)
        if isinstance(said, str):
            right = said == self.value
            return Verdict(right, f"Right: {self.shown}." if right else f"A fair guess, but the measurement says: {self.shown}.")
        return self._distance(said, float(self.value))

    def _distance(self, said: float, value: float) -> Verdict:
        """Return what is to be said about a number."""
        off = said - value
        distance = number_text(abs(off), "points" if self.guess.unit == "%" else self.guess.unit)
        distance = "1 point" if distance == "1 points" else distance
        yours = number_text(said, self.guess.unit)
        if abs(off) <= self.guess.near:
            exact = abs(off) < 0.05  # what is shown has one decimal
            return Verdict(True, f"Exactly: {self.shown}." if exact else f"Close: {self.shown}, {distance} from your {yours}.")
        return Verdict(False, f"You said {yours}, it is {self.shown}: you were {distance} too {'high' if off > 0 else 'low'}.")


def number_text(value: float, unit: str) -> str:
    """Return a number with one decimal where it needs one, thousands set apart, and its unit."""
    text = f"{value:,.1f}".removesuffix(".0").replace("-", "−")
    return f"{text} {unit}".strip()
