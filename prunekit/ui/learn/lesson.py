"""One lesson on one screen: the question, the guess, the controls, the picture, the point, and onwards."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.experiments.jobs import board
from prunekit.lessons.lesson import Answer, Lesson
from prunekit.ui.components import show
from prunekit.ui.learn import answers, controls, guess, look, onwards, pictures
from prunekit.ui.shared import measuring
from prunekit.ui.state import learn_settings
from prunekit.ui.state.settings import Settings


def draw(now: Settings) -> None:
    """Show the lesson in view."""
    lesson = learn_settings.lesson_at(now.lesson)
    values = learn_settings.read(lesson, now.knobs)
    look.dots(now)
    show.section(f"{lesson.number}. {lesson.title}")
    left, right = st.columns([5, 7], gap="large")
    with left:
        st.markdown(lesson.intro)
        st.container(key="lesson_question").markdown(lesson.asked(**values))
        controls.controls(lesson, values)
        if not now.shown:
            guess.form(lesson, values)
    with right:  # where the picture will be, a spinner says that it is being measured
        answer = answers.found(lesson, values) if now.shown else None
        _picture(now, lesson, values, answer)
    with left:
        if answer is not None:
            guess.verdict(now, lesson, answer)
    if answer is not None:
        with st.container(border=True, key="lesson_point"):
            st.markdown(" ".join(map(show.plain, answer.sentences)))
    onwards.bar(now, lesson, values, answer)


def _picture(now: Settings, lesson: Lesson, values: dict[str, Any], answer: Answer | None) -> None:
    """Show the measured picture; before it, what may be seen without giving the answer away."""
    if answer is not None:
        pictures.measured(lesson, answer, large=now.large)
    elif now.shown:
        _wait(lesson, values)
    else:
        pictures.before(lesson, values, large=now.large)


def _wait(lesson: Lesson, values: dict[str, Any]) -> None:
    """Show how far a background measurement is, or offer it."""
    key = answers.key_of(lesson, values)
    job = board().get(key)
    if job is None or not job.active:
        show.empty("This setting has not been measured yet. It takes a few seconds.", "timer")
        st.button(
            "Measure it now",
            key="measure_lesson",
            type="primary",
            icon=":material/play_arrow:",
            on_click=answers.ask,
            args=(lesson, values),
        )
    measuring.panel(key)
    if measuring.finished(key) is not None:
        st.rerun()  # it ended while the page was being drawn: nothing would tell the page later
