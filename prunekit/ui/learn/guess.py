"""Predict, then reveal: the form in which a guess is made, and what is said about it afterwards."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.lessons.lesson import Answer, Lesson
from prunekit.ui.components import show
from prunekit.ui.learn import answers, controls
from prunekit.ui.state import learn_settings
from prunekit.ui.state.settings import Settings

_MISSING = "guess_missing"


def form(lesson: Lesson, values: dict[str, Any]) -> None:
    """Ask for a guess; nothing is measured before it is made."""
    key = f"guess_{lesson.number}"
    with st.form(f"guess_form_{lesson.number}", border=True):
        guess = lesson.guess
        if guess.kind == "number":
            label = f"Your guess: {guess.label}" + (f" ({guess.unit})" if guess.unit else "")
            st.number_input(
                label, min_value=int(guess.low), max_value=int(guess.high), step=int(guess.step), value=None, key=key,
                placeholder=f"{guess.low:g} to {guess.high:g}",
            )  # fmt: skip
        else:
            st.radio(f"Your guess: {guess.label}", guess.options, index=None, key=key)
        if st.session_state.pop(_MISSING, None) == lesson.number:
            st.markdown(":orange[A guess first, then the measurement: any will do.]")
        st.form_submit_button(
            "That is my guess: measure",
            type="primary",
            icon=":material/visibility:",
            on_click=_commit,
            args=(lesson, values, key),
            key="commit",
        )


def _commit(lesson: Lesson, values: dict[str, Any], key: str) -> None:
    """Take the guess, and start measuring what takes a while; a callback."""
    said = st.session_state.get(key)
    if said is None:
        st.session_state[_MISSING] = lesson.number
        return
    controls.commit(int(said) if lesson.guess.kind == "number" else lesson.guess.options.index(said))
    if lesson.long:
        answers.ask(lesson, values)


def verdict(now: Settings, lesson: Lesson, answer: Answer) -> None:
    """Say how good the guess was, if it was made for what is in view."""
    if now.guess < 0:
        st.info(f"**{show.plain(answer.shown)}**", icon=":material/monitoring:")
        return
    guess = learn_settings.guessed(lesson, now.guess)
    if not controls.same_setting(now):
        said = f"{guess:g} {lesson.guess.unit}".strip() if isinstance(guess, float) else guess
        st.info(
            f"Now it is **{show.plain(answer.shown)}**. Your guess ({show.plain(said)}) was for another setting.", icon=":material/tune:"
        )
        return
    found = answer.verdict(guess)
    (st.success if found.right else st.warning)(
        show.plain(found.sentence), icon=":material/check_circle:" if found.right else ":material/lightbulb:"
    )
