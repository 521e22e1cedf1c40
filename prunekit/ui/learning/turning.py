"""The controls of a lesson: sliders, choices, and the cells of a matrix."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.lessons import Control, Lesson
from prunekit.plots.lessons import signed_number
from prunekit.ui import state
from prunekit.ui.learning import pictures, steps


def controls(lesson: Lesson, values: dict[str, Any]) -> None:
    """Show the controls of a lesson where they stand."""
    for control in lesson.controls:
        if control.kind == "slider":
            _slider(lesson, control, values[control.name])
        elif control.kind == "choice":
            _choice(lesson, control, values[control.name])
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
        format=f"%d {control.unit.replace('%', '%%')}".strip(), **state.mirror(key, value),
    )  # fmt: skip


def _choice(lesson: Lesson, control: Control, value: str) -> None:
    """Show a choice of some words."""
    names = dict(control.options)
    key = _key(lesson, control)
    st.selectbox(
        control.label, list(names), format_func=names.__getitem__, on_change=_take, args=(control.name, key),
        **state.mirror(key, value, list(names)),
    )  # fmt: skip


def _cells(lesson: Lesson, control: Control, value: tuple[int, ...]) -> None:
    """Show a square of boxes to tick, each with its weight."""
    weights = pictures.by_hand()
    st.caption(f"{control.label} ({len(value)} ticked; Tab goes on, Space ticks)")
    side = round((control.high + 1) ** 0.5)
    with st.container(key="matrix_ticks", gap="xxsmall"):
        for row in range(side):
            for column, place in enumerate(st.columns(side)):
                cell = row * side + column
                key = f"{_key(lesson, control)}_{cell}"
                place.checkbox(
                    signed_number(weights[cell]), on_change=_tick, args=(control.name, cell, value, key), **state.mirror(key, cell in value)
                )


def _take(name: str, key: str) -> None:
    """Carry a widget's value over; a callback."""
    if st.session_state.get(key) is not None:
        steps.turn(name, st.session_state[key])


def _tick(name: str, cell: int, value: tuple[int, ...], key: str) -> None:
    """Take one cell in or out; a callback."""
    steps.turn(name, tuple(sorted({*value, cell} if st.session_state[key] else {*value} - {cell})))
