"""Where a person stands on the Learn page: the part of the settings that says which lesson shows, what was guessed, what is done."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("lessons", "versus", "presets", "words", "sheet")
KEEPS = (10, 20, 30, 40, 50, 60)


@dataclass(frozen=True)
class Learned:
    """The picks of the Learn page.

    Attributes
    ----------
    part : str
        Which part of the page shows.
    lesson : int
        Which lesson, from 1.
    knobs : tuple of str
        Where its controls stand, in their order; empty for where the question puts them.
    guess : int
        The guess: a number on its scale, or the place of an option; -1 before there is one.
    asked : tuple of str
        Where the controls stood when the guess was made.
    shown : bool
        Whether the answer may show.
    done : tuple of int
        Lessons that were gone through.
    large : bool
        Large type, for a projector.
    keep : int
        Of the part "Structured or unstructured?": how much of a budget may stay, in percent.
    """

    part: str = "lessons"
    lesson: int = 1
    knobs: tuple[str, ...] = ()
    guess: int = -1
    asked: tuple[str, ...] = ()
    shown: bool = False
    done: tuple[int, ...] = ()
    large: bool = False
    keep: int = 20
