"""Lessons as `content/lessons.toml` has them: a question, a guess, a few controls."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from prunekit.errors import PrunekitError, one_of

Value = float | str


@dataclass(frozen=True)
class Guess:
    """How a learner answers before anything is measured.

    Attributes
    ----------
    kind : {"number", "choice"}
        A number on a scale, or one of some sentences.
    label : str
        What is asked for, in a few words.
    unit : str
        Of the number, such as ``%``.
    low, high, step : float
        The scale of a number.
    options : tuple of str
        The sentences of a choice.
    near : float
        How far off a number may be and still be right; what is shown has one decimal.
    """

    kind: str
    label: str
    unit: str = ""
    low: float = 0
    high: float = 100
    step: float = 1
    options: tuple[str, ...] = ()
    near: float = 0.05

    def checked(self, guess: object) -> Value:
        """Return a guess in its one canonical form.

        Raises
        ------
        PrunekitError
            If it is not on the scale or not among the options.
        """
        if self.kind == "choice":
            one_of("guess", guess, self.options, PrunekitError)
            return str(guess)
        return _on_scale("guess", guess, self.low, self.high)


@dataclass(frozen=True)
class Control:
    """One thing that a learner can change.

    Attributes
    ----------
    name : str
        The parameter of the lesson's ``answer``.
    label : str
        As it stands beside the widget.
    kind : {"slider", "choice", "cells", "switches", "text"}
        A number on a scale, one of some words, ticked cells of a matrix (row by row, from 0), switches that are off, or a text.
    low, high, step : int
        The scale of a slider; of cells and switches, ``high`` is the last one; of a text, its most characters.
    across : int
        Of switches: how many stand in a row; behind the last row follows one for each row as a whole.
    options : tuple of (str, str)
        Of a choice: the value and how it is called on the screen.
    start : int, str or tuple of int
        Where it stands when the question is asked.
    unit : str
        Of a slider, such as ``%``.
    row : str
        Of switches: what a row is called.
    """

    name: str
    label: str
    kind: str
    low: int = 0
    high: int = 100
    step: int = 1
    options: tuple[tuple[str, str], ...] = ()
    start: int | str | tuple[int, ...] = 0
    unit: str = ""
    across: int = 0
    row: str = ""

    def checked(self, value: object) -> int | str | tuple[int, ...]:
        """Return a value in its one canonical form: an int, one of the options' values, or sorted cells.

        Raises
        ------
        PrunekitError
            If the control cannot stand there; the message names what it allows.
        """
        if self.kind == "choice":
            one_of(self.name, value, [key for key, _ in self.options], PrunekitError)
            return str(value)
        if self.kind == "text":
            if not isinstance(value, str) or not 0 < len(value) <= self.high:
                raise PrunekitError(f"{self.name} must be a text of 1 to {self.high} characters; got {value!r}")
            return value
        if self.kind in ("cells", "switches"):
            if isinstance(value, str) or not hasattr(value, "__iter__"):
                raise PrunekitError(f"{self.name} must be numbers of cells, {self.low} to {self.high}; got {value!r}")
            return tuple(sorted({self._whole(cell) for cell in value}))
        return self._whole(value)

    def _whole(self, value: object) -> int:
        """Return a whole number on the scale."""
        number = _on_scale(self.name, value, self.low, self.high)
        if number != int(number) or (int(number) - self.low) % self.step:
            raise PrunekitError(f"{self.name} must be one of {self.low}, {self.low + self.step}, ... {self.high}; got {value!r}")
        return int(number)

    def said(self, value: object) -> str:
        """Return a value as a question says it: a number, what a choice is called, how many cells are ticked."""
        value = self.checked(value)
        if self.kind == "choice":
            return dict(self.options)[str(value)]
        if isinstance(value, str):
            return value
        return str(len(value)) if isinstance(value, tuple) else f"{value:,}"


@dataclass(frozen=True)
class Lesson:
    """One lesson: a question, and what may be changed while it is looked into.

    Attributes
    ----------
    number : int
        Its place, from 1.
    key, title : str
        A short name, and what it is called.
    asks : str
        The question; ``{name}`` stands for a control of that name. See :meth:`asked`.
    intro : str
        Two or three sentences before the question.
    guess : Guess
        How it is answered.
    controls : tuple of Control
        One or two.
    page : str
        The page of the dashboard that does the same with any model.
    terms : tuple of str
        Words of the glossary.
    long, timed : bool
        Whether it trains or times, and is measured in the background; whether it times, and comes out a little different each time.
    explores : bool
        Whether the controls are for looking around and change nothing in what was guessed.
    """

    number: int
    key: str
    title: str
    asks: str
    intro: str
    guess: Guess
    controls: tuple[Control, ...]
    page: str
    terms: tuple[str, ...]
    long: bool = False
    timed: bool = False
    explores: bool = False

    @property
    def starts(self) -> dict[str, Any]:
        """Where the controls stand when the question is asked."""
        return {control.name: control.start for control in self.controls}

    @property
    def question(self) -> str:
        """The question with every control at its start."""
        return self.asked()

    def asked(self, **controls: Any) -> str:
        """Return the question at some setting of the controls; what is left out stands at its start."""
        values = self.checked(**controls)
        return self.asks.format(**{control.name: control.said(values[control.name]) for control in self.controls})

    def checked(self, **controls: Any) -> dict[str, Any]:
        """Return a value for every control; what is left out stands at its start.

        Raises
        ------
        PrunekitError
            If there is no such control, or it cannot stand there.
        """
        unknown = sorted(set(controls) - set(self.starts))
        if unknown:
            raise PrunekitError(f"lesson {self.number} has no control {', '.join(unknown)}; it has {', '.join(self.starts)}")
        return {control.name: control.checked(controls.get(control.name, control.start)) for control in self.controls}


def _on_scale(name: str, value: object, low: float, high: float) -> float:
    """Return a number, or raise unless it lies on a scale."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PrunekitError(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")
    return float(value)


def content(name: str) -> dict[str, Any]:
    """Return a file of the lessons' content."""
    return tomllib.loads(files("prunekit.lessons").joinpath("content", f"{name}.toml").read_text(encoding="utf-8"))


def _tuples(value: Any) -> Any:
    """Return lists, and lists in them, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _made(number: int, told: dict[str, Any]) -> Lesson:
    """Return a lesson as its table says."""
    guess, *controls = ({name: _tuples(value) for name, value in part.items()} for part in (told.pop("guess"), *told.pop("controls")))
    rest = {name: _tuples(value) for name, value in told.items()}
    return Lesson(number, **rest, guess=Guess(**guess), controls=tuple(Control(**each) for each in controls))


LESSONS: tuple[Lesson, ...] = tuple(_made(number, told) for number, told in enumerate(content("lessons")["lesson"], 1))


def lesson(key: str) -> Lesson:
    """Return a lesson by its short name."""
    return next(each for each in LESSONS if each.key == key)
