"""The top of the Learn page: its parts, the switch for large type, and the lessons as dots."""

from __future__ import annotations

import streamlit as st

from prunekit.lessons import LESSONS
from prunekit.ui import state
from prunekit.ui.learning import steps
from prunekit.ui.settings import Settings

TITLES = {
    "lessons": "Lessons",
    "versus": "Structured or unstructured?",
    "presets": "Good and bad",
    "words": "Words",
    "sheet": "To print",
}


def bar() -> None:
    """Show the parts of the page and the switch for large type."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="learn_top"):
        st.segmented_control(
            "Part", list(TITLES), format_func=TITLES.__getitem__, required=True, label_visibility="collapsed",
            **state.bind("part", start="default"),
        )  # fmt: skip
        st.toggle("Large type", help="For a projector, and for tired eyes.", **state.bind("large"))


def dots(now: Settings) -> None:
    """Show the lessons as dots: which one this is, which are done; each is a button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="lesson_dots"):
        for lesson in LESSONS:
            here, done = lesson.number == now.lesson, lesson.number in now.done
            st.button(
                f":material/check: :small[{lesson.number}]" if done and not here else str(lesson.number),
                key=f"dot_{lesson.number}", type="primary" if here else "secondary", on_click=steps.go_to, args=(lesson.number,),
                help=f"Lesson {lesson.number}: {lesson.title}" + (" (done)" if done else ""),
            )  # fmt: skip
        st.markdown(f":gray[{len(now.done)} of {len(LESSONS)} done]")
