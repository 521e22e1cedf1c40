"""The controls of a lesson, and going through the lessons: what each remembers while the tab is open, and the callbacks that move on."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.lessons.answer import Answer
from prunekit.lessons.course import answer_of
from prunekit.lessons.lesson import LESSONS, Control, Lesson
from prunekit.plots.lessons import signed_number
from prunekit.ui.learn import pictures
from prunekit.ui.shared import measuring
from prunekit.ui.state import page_settings, session
from prunekit.ui.state.page_settings import Learned
from prunekit.ui.state.settings import Settings


def available_answer(lesson: Lesson, values: dict[str, Any]) -> Answer | None:
    """Return the answer: computed now where that is quick, otherwise what a background job has found, or None."""
    if lesson.long:
        answer: Answer | None = measuring.finished(key_of(lesson, values))
        return answer
    return _quick(lesson.number, tuple(values.items()))


@st.cache_data(max_entries=128, show_spinner="Measuring …")
def _quick(number: int, values: tuple[tuple[str, Any], ...]) -> Answer:
    """Compute an answer, once for everybody."""
    return answer_of(number, **dict(values))


def key_of(lesson: Lesson, values: dict[str, Any]) -> str:
    """Return what the job of an answer is called: the same for the same controls."""
    return measuring.key_of("lesson", lesson.number, tuple(values.items()))


def ask(lesson: Lesson, values: dict[str, Any], *, anew: bool = False) -> None:
    """Start measuring in the background; a callback."""
    key = key_of(lesson, values)
    if anew:
        board().drop(key)

    def work(job: Job) -> Answer:
        return answer_of(lesson.number, progress=job.progress, **values)

    measuring.start(key, f"Lesson {lesson.number}: {lesson.title}", work, alone=lesson.timed)


_SHELF = "lessons_by_number"
OF_LESSON = ("knobs", "guess", "asked", "shown")


def go_to(number: int) -> None:
    """Open a lesson as it was left; a callback."""
    now = session.settings()
    shelf = _shelf()
    shelf[now.lesson] = {name: getattr(now, name) for name in OF_LESSON}
    left = shelf.get(number, {name: getattr(Learned, name) for name in OF_LESSON})
    session.change(part="lessons", lesson=number, **left)


def commit(guess: int) -> None:
    """Take a guess, and let the answer show; a callback."""
    now = session.settings()
    session.change(guess=guess, asked=now.knobs, shown=True, done=tuple(sorted({*now.done, now.lesson})))


def guess_again() -> None:
    """Hide the answer and ask anew, with the controls where they stand; a callback."""
    session.change(guess=-1, asked=(), shown=False)


def start_over() -> None:
    """Forget all guesses and what is done; a callback."""
    _shelf().clear()
    fresh = {name: getattr(Learned, name) for name in (*OF_LESSON, "lesson", "done", "part")}
    session.change(**fresh)


def turn(name: str, value: Any) -> None:
    """Move one control of the lesson in view; a callback's work."""
    now = session.settings()
    lesson = page_settings.lesson_at(now.lesson)
    values = page_settings.read(lesson, now.knobs) | {name: value}
    session.change(knobs=page_settings.write(lesson, values))


def same_setting(now: Settings) -> bool:
    """Return whether the guess was made for what the controls show now."""
    lesson = page_settings.lesson_at(now.lesson)
    return page_settings.read(lesson, now.knobs) == page_settings.read(lesson, now.asked)


def is_last(number: int) -> bool:
    """Return whether this is the last lesson."""
    return number == len(LESSONS)


def _shelf() -> dict[int, dict[str, Any]]:
    """Return what this tab remembers of each lesson."""
    return cast("dict[int, dict[str, Any]]", st.session_state.setdefault(_SHELF, {}))


def controls(lesson: Lesson, values: dict[str, Any]) -> None:
    """Show the controls of a lesson where they stand."""
    for control in lesson.controls:
        if control.kind == "slider":
            _slider(lesson, control, values[control.name])
        elif control.kind == "choice":
            _choice(lesson, control, values[control.name])
        elif control.kind == "text":
            key = _key(lesson, control)
            st.text_area(
                control.label, max_chars=control.high, height=95, on_change=_take, args=(control.name, key),
                **session.mirror(key, values[control.name]),
            )  # fmt: skip
        elif control.kind == "switches":
            _switches(lesson, control, values[control.name])
        else:
            _cells(lesson, control, values[control.name])


def _key(lesson: Lesson, control: Control) -> str:
    """Return the name of a control's widget."""
    return f"turn_{lesson.number}_{control.name}"


def _slider(lesson: Lesson, control: Control, value: int) -> None:
    """Show a number on a scale."""
    key = _key(lesson, control)
    st.slider(
        control.label, min_value=control.low, max_value=control.high, step=control.step, on_change=_take, args=(control.name, key),
        format=f"%d {control.unit.replace('%', '%%')}".strip(), **session.mirror(key, value),
    )  # fmt: skip


def _choice(lesson: Lesson, control: Control, value: str) -> None:
    """Show a choice of some words."""
    names = dict(control.options)
    key = _key(lesson, control)
    st.selectbox(
        control.label, list(names), format_func=names.__getitem__, on_change=_take, args=(control.name, key),
        **session.mirror(key, value, list(names)),
    )  # fmt: skip


def _cells(lesson: Lesson, control: Control, value: tuple[int, ...]) -> None:
    """Show a square of boxes to tick, each with its weight."""
    weights = pictures.by_hand()
    come = " to begin with" if value == control.checked(control.start) else ""
    st.caption(f"{control.label} ({len(value)} ticked{come}; Tab goes on, Space ticks)")
    side = round((control.high + 1) ** 0.5)
    with st.container(key="matrix_ticks", gap="xxsmall"):
        for row in range(side):
            for column, place in enumerate(st.columns(side)):
                cell = row * side + column
                key = f"{_key(lesson, control)}_{cell}"
                place.checkbox(
                    signed_number(weights[cell]),
                    on_change=_tick,
                    args=(control.name, cell, value, key),
                    **session.mirror(key, cell in value),
                )


def _switches(lesson: Lesson, control: Control, off: tuple[int, ...]) -> None:
    """Show rows of switches, and at the end of each one for the whole row; what is on is filled."""
    rows = (control.high + 1) // (control.across + 1)
    st.caption(f"{control.label}, and all of a {control.row.lower()} at once: click to switch off and on ({len(off)} off)")
    with st.container(key="switch_rows", gap="xxsmall"):
        for row in range(rows):
            places = [*range(row * control.across, (row + 1) * control.across), rows * control.across + row]
            key, names = f"{_key(lesson, control)}_{row}", [*map(str, range(1, control.across + 1)), "all"]
            st.pills(
                f"{control.row} {row + 1}", places, format_func=dict(zip(places, names, strict=True)).__getitem__,
                selection_mode="multi", on_change=_switch, args=(control.name, tuple(places), off, key),
                **session.mirror(key, [place for place in places if place not in off], "default"),
            )  # fmt: skip


def _switch(name: str, places: tuple[int, ...], off: tuple[int, ...], key: str) -> None:
    """Take over which of a row are on; a callback."""
    turn(name, tuple(sorted({*off} - {*places} | {*places} - {*st.session_state[key]})))


def _take(name: str, key: str) -> None:
    """Carry a widget's value over, an emptied field apart; a callback."""
    if st.session_state.get(key) not in (None, ""):
        turn(name, st.session_state[key])


def _tick(name: str, cell: int, value: tuple[int, ...], key: str) -> None:
    """Take one cell in or out; a callback."""
    turn(name, tuple(sorted({*value, cell} if st.session_state[key] else {*value} - {cell})))
