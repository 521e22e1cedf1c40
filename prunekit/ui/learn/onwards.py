"""From a lesson onwards: its words, the same on the real page, and the next lesson."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import streamlit as st

from prunekit.config.choices import default_scope
from prunekit.lessons.glossary import term
from prunekit.lessons.lesson import Answer, Lesson
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.learn import answers, controls
from prunekit.ui.state import session
from prunekit.ui.state.compare_settings import Compared
from prunekit.ui.state.learn_settings import Learned
from prunekit.ui.state.settings import Settings

CARRIED = tuple(field.name for kind in (Compared, Learned) for field in fields(kind))
"""What stays when a lesson's setting is opened elsewhere: the picks of other pages, and the progress."""


def bar(now: Settings, lesson: Lesson, values: dict[str, Any], answer: Answer | None) -> None:
    """Show the buttons below a lesson, and the words that it uses."""
    with st.container(horizontal=True, vertical_alignment="center", key="lesson_steps"):
        if lesson.number > 1:
            st.button("Back", key="back", icon=":material/arrow_back:", on_click=controls.go_to, args=(lesson.number - 1,))
        if controls.is_last(lesson.number):
            st.button("Structured or unstructured?", key="next", type=_weight(answer), on_click=session.change, kwargs={"part": "versus"})
        else:
            st.button("Next lesson", key="next", icon=":material/arrow_forward:", icon_position="right", type=_weight(answer),
                      on_click=controls.go_to, args=(lesson.number + 1,))  # fmt: skip
        if answer is not None:
            open_button(lesson.page, answer.settings, "open_real")
            if lesson.timed:
                st.button("Measure again", key="measure_again", icon=":material/replay:", on_click=answers.ask, args=(lesson, values),
                          kwargs={"anew": True}, help="Figures of time differ a little from one measurement to the next.")  # fmt: skip
        if now.shown:
            st.button("Guess again", key="guess_again", icon=":material/casino:", on_click=controls.guess_again)
        if now.done:
            st.button(
                "Start over", key="start_over", type="tertiary", on_click=controls.start_over, help="Forget all guesses and what is done."
            )
    with st.expander("Words in this lesson", icon=":material/menu_book:"):
        for word in lesson.terms:
            st.markdown(f"**{word}**: {show.plain(term(word).meaning)}")


def _weight(answer: Answer | None) -> Any:
    """Return how much the way on stands out: only once the answer is there."""
    return "secondary" if answer is None else "primary"


def open_button(page: str, setting: Mapping[str, Any], key: str) -> None:
    """Show a button that opens a setting on the page that does the same with any model."""
    if st.button("Open this on the real page", key=key, icon=":material/open_in_new:", on_click=take, args=(setting,)):
        st.switch_page(routes.page(page))


def take(setting: Mapping[str, Any]) -> None:
    """Put a lesson's setting in place of what was picked; a callback."""
    session.put(opened(session.settings(), setting))


def opened(now: Settings, setting: Mapping[str, Any]) -> Settings:
    """Return a lesson's setting as the pages understand it: exactly it, with what belongs to other pages left as it is."""
    kept = {name: getattr(now, name) for name in CARRIED}
    return Settings(**kept).change(scope=default_scope(str(setting.get("mode", Settings.mode)))).change(**setting)
