"""Where a person stands on the Learn page, and where the controls of a lesson stand, as short words of the address and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.lessons.lesson import LESSONS, Control, Lesson
from prunekit.ui.state import codecs
from prunekit.ui.state.codecs import pick

PARTS = ("lessons", "versus", "presets", "words", "sheet")
KNOBS = codecs.in_order(codecs.matching(r"[a-z0-9.]{1,80}", "where the controls of a lesson stand, such as 10_all"), 2)
KEEPS = (10, 20, 30, 40, 50, 60)


@dataclass(frozen=True)
class Learned:
    """The picks of the Learn page."""

    part: str = pick("lessons", codecs.choice(*PARTS))  # which part of the page shows
    lesson: int = pick(1, codecs.whole(1, len(LESSONS)))  # which lesson, from 1
    knobs: tuple[str, ...] = pick((), KNOBS)  # where its controls stand, in their order; empty for where the question puts them
    guess: int = pick(-1, codecs.whole(0, 100))  # the guess: a number on its scale, or the place of an option; -1 before there is one
    asked: tuple[str, ...] = pick((), KNOBS)  # where the controls stood when the guess was made
    shown: bool = pick(False, codecs.YES_NO)  # whether the answer may show
    done: tuple[int, ...] = pick((), codecs.places_up_to(len(LESSONS)))  # lessons that were gone through
    large: bool = pick(False, codecs.YES_NO)  # large type, for a projector
    # of the part "Structured or unstructured?": how much of a budget may stay, in percent
    keep: int = pick(20, codecs.one_of({str(share): share for share in KEEPS}))


NONE = "none"


def lesson_at(number: int) -> Lesson:
    """Return a lesson by its number, from 1."""
    return LESSONS[number - 1]


def write(lesson: Lesson, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a word for each control, or nothing where all stand at their start.

    Parameters
    ----------
    lesson : Lesson
        Whose controls.
    values : mapping
        By name; what is left out stands at its start.
    """
    checked = lesson.checked(**values)
    if checked == lesson.checked():
        return ()
    return tuple(_word(checked[control.name]) for control in lesson.controls)


def read(lesson: Lesson, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the value of every control.

    Parameters
    ----------
    lesson : Lesson
        Whose controls.
    words : tuple of str
        From :func:`write`.

    Raises
    ------
    PrunekitError
        If the words do not belong to this lesson.
    """
    if not words:
        return lesson.checked()
    if len(words) != len(lesson.controls):
        raise PrunekitError(f"lesson {lesson.number} has {len(lesson.controls)} controls, not {len(words)}")
    return lesson.checked(**{control.name: _value(control, word) for control, word in zip(lesson.controls, words, strict=True)})


def guessed(lesson: Lesson, guess: int) -> float | str:
    """Return a guess as the lesson takes it: a number, or one of the options.

    Raises
    ------
    PrunekitError
        If it is not on the scale, or there is no such option.
    """
    if lesson.guess.kind == "number":
        return lesson.guess.checked(guess)
    if not 0 <= guess < len(lesson.guess.options):
        raise PrunekitError(f"lesson {lesson.number} has options 0 to {len(lesson.guess.options) - 1}")
    return lesson.guess.options[guess]


def _word(value: Any) -> str:
    """Return one control's value as a word."""
    if isinstance(value, tuple):
        return ".".join(map(str, value)) or NONE
    return str(value)


def _value(control: Control, word: str) -> Any:
    """Return one control's value from its word; the control checks it afterwards."""
    if control.kind == "choice":
        return word
    parts = [] if word == NONE else word.split(".")
    if not all(part.isdecimal() for part in parts) or (control.kind == "slider" and len(parts) != 1):
        raise PrunekitError(f"{control.name} cannot be read from {word!r}")
    numbers = tuple(map(int, parts))
    return numbers if control.kind == "cells" else numbers[0]
