"""Going through the lessons: what each of them remembers while the tab is open, and the callbacks that move on."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from prunekit.lessons import LESSONS
from prunekit.ui import knobs, state
from prunekit.ui.learned import Learned
from prunekit.ui.settings import Settings

_SHELF = "lessons_by_number"
OF_LESSON = ("knobs", "guess", "asked", "shown")


def go_to(number: int) -> None:
    """Open a lesson as it was left; a callback."""
    now = state.settings()
    shelf = _shelf()
    shelf[now.lesson] = {name: getattr(now, name) for name in OF_LESSON}
    left = shelf.get(number, {name: getattr(Learned, name) for name in OF_LESSON})
    state.change(part="lessons", lesson=number, **left)


def commit(guess: int) -> None:
    """Take a guess, and let the answer show; a callback."""
    now = state.settings()
    state.change(guess=guess, asked=now.knobs, shown=True, done=tuple(sorted({*now.done, now.lesson})))


def guess_again() -> None:
    """Hide the answer and ask anew, with the controls where they stand; a callback."""
    state.change(guess=-1, asked=(), shown=False)


def start_over() -> None:
    """Forget all guesses and what is done; a callback."""
    _shelf().clear()
    fresh = {name: getattr(Learned, name) for name in (*OF_LESSON, "lesson", "done", "part")}
    state.change(**fresh)


def turn(name: str, value: Any) -> None:
    """Move one control of the lesson in view; a callback's work."""
    now = state.settings()
    lesson = knobs.lesson_at(now.lesson)
    values = knobs.read(lesson, now.knobs) | {name: value}
    state.change(knobs=knobs.write(lesson, values))


def same_setting(now: Settings) -> bool:
    """Return whether the guess was made for what the controls show now."""
    lesson = knobs.lesson_at(now.lesson)
    return knobs.read(lesson, now.knobs) == knobs.read(lesson, now.asked)


def is_last(number: int) -> bool:
    """Return whether this is the last lesson."""
    return number == len(LESSONS)


def _shelf() -> dict[int, dict[str, Any]]:
    """Return what this tab remembers of each lesson."""
    return cast("dict[int, dict[str, Any]]", st.session_state.setdefault(_SHELF, {}))
