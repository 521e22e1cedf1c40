"""One lesson on one screen: the question, the guess, the controls, the picture, the point, and the way on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import streamlit as st

from prunekit.config.choices import default_scope
from prunekit.experiments.jobs import board
from prunekit.lessons.answer import Answer
from prunekit.lessons.glossary import term
from prunekit.lessons.lesson import LESSONS, Lesson
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.learn import controls, pictures
from prunekit.ui.shared import measuring
from prunekit.ui.state import page_settings, session
from prunekit.ui.state.page_settings import Compared, Learned
from prunekit.ui.state.settings import Settings

_BASE = """
[data-testid="stMainBlockContainer"] {padding-left: 2.5rem; padding-right: 2.5rem; padding-top: 2.2rem;}
.st-key-lesson_dots button {border-radius: 50% !important; width: 2.3rem; height: 2.3rem; min-height: 0; padding: 0;}
.st-key-lesson_question p {font-size: 1.25rem; line-height: 1.45; font-weight: 600;}
.st-key-lesson_point p {font-size: 1.1rem; line-height: 1.5;}
.st-key-matrix_ticks [data-testid="stHorizontalBlock"] {gap: 0.25rem;}
.st-key-matrix_ticks label {gap: 0.2rem;}
.st-key-matrix_ticks label p {font-size: 0.8rem; white-space: nowrap; overflow: visible; text-overflow: clip;}
@media print {
  [data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stToolbar"], .st-key-learn_top, .st-key-lesson_dots,
  .st-key-lesson_steps, .stButton, [data-testid="stFormSubmitButton"] {display: none !important;}
  [data-testid="stApp"], [data-testid="stAppViewContainer"], [data-testid="stMain"], [data-testid="stMainBlockContainer"]
    {position: static !important; overflow: visible !important; height: auto !important; display: block !important;
     padding: 0 !important; color: black !important; background: white !important;}
  h1, h2, h3, p, li, td, th, label, span {color: black !important;}
  .lesson-sheet {break-inside: avoid;}
}
.lesson-sheet {border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-radius: 0.5rem; padding: 0.8rem 1.1rem;
  margin-bottom: 0.8rem;}
.lesson-sheet h3 {font-size: 1.1rem; margin: 0 0 0.3rem 0; padding: 0;}
.lesson-sheet p, .lesson-sheet li {margin: 0.2rem 0; line-height: 1.5;}
.lesson-sheet ul {list-style: none; padding-left: 0.2rem; margin: 0.2rem 0;}
.lesson-sheet td {border: 1px solid color-mix(in srgb, currentColor 35%, transparent); padding: 0.35rem 0.7rem; text-align: right;}
.lesson-sheet .line {border-bottom: 1px solid color-mix(in srgb, currentColor 45%, transparent); display: inline-block; width: 9rem;}
.lesson-sheet .long {width: 100%; height: 1.7rem;}
"""
_LARGE = """
html {font-size: 20px !important;}
[data-testid="stMainBlockContainer"] {max-width: none;}
[data-testid="stMain"] [data-testid="stCaptionContainer"] p {font-size: 1rem;}
[data-testid="stSidebarUserContent"] {zoom: 0.8;}
"""


def style(*, large: bool) -> None:
    """Give the page its look."""
    st.html(f"<style>{_BASE}{_LARGE if large else ''}</style>")


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
            **session.bind("part", start="default"),
        )  # fmt: skip
        st.toggle("Large type", help="For a projector, and for tired eyes.", **session.bind("large"))


def dots(now: Settings) -> None:
    """Show the lessons as dots: which one this is, which are done; each is a button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="lesson_dots"):
        for lesson in LESSONS:
            here, done = lesson.number == now.lesson, lesson.number in now.done
            st.button(
                f"✓ :small[{lesson.number}]" if done and not here else str(lesson.number),
                key=f"dot_{lesson.number}", type="primary" if here else "secondary", on_click=controls.go_to, args=(lesson.number,),
                help=f"Lesson {lesson.number}: {lesson.title}" + (" (done)" if done else ""),
            )  # fmt: skip
        st.markdown(f":gray[{len(now.done)} of {len(LESSONS)} done]")


CARRIED = tuple(field.name for kind in (Compared, Learned) for field in fields(kind))
"""What stays when a lesson's setting is opened elsewhere: the picks of other pages, and the progress."""
_MISSING = "guess_missing"


def draw(now: Settings) -> None:
    """Show the lesson in view."""
    lesson = page_settings.lesson_at(now.lesson)
    values = page_settings.read(lesson, now.knobs)
    dots(now)
    show.section(f"{lesson.number}. {lesson.title}")
    left, right = st.columns([5, 7], gap="large")
    with left:
        st.markdown(lesson.intro)
        st.container(key="lesson_question").markdown(lesson.asked(**values))
        controls.controls(lesson, values)
        if not now.shown:
            _form(lesson, values)
    with right:  # where the picture will be, a spinner says that it is being measured
        answer = controls.available_answer(lesson, values) if now.shown else None
        _picture(now, lesson, values, answer)
    with left:
        if answer is not None:
            _verdict(now, lesson, answer)
    if answer is not None:
        with st.container(border=True, key="lesson_point"):
            st.markdown(" ".join(map(show.plain, answer.sentences)))
    steps(now, lesson, values, answer)


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
    key = controls.key_of(lesson, values)
    job = board().get(key)
    if job is None or not job.active:
        show.empty("This setting has not been measured yet. It takes seconds, or up to a minute on a busy machine.", "timer")
        st.button(
            "Measure it now",
            key="measure_lesson",
            type="primary",
            icon=":material/play_arrow:",
            on_click=controls.ask,
            args=(lesson, values),
        )
    measuring.panel(key)
    if measuring.finished(key) is not None:
        st.rerun()  # it ended while the page was being drawn: nothing would tell the page later


def _form(lesson: Lesson, values: dict[str, Any]) -> None:
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
        controls.ask(lesson, values)


def _verdict(now: Settings, lesson: Lesson, answer: Answer) -> None:
    """Say how good the guess was, if it was made for what is in view."""
    if now.guess < 0:
        st.info(f"**{show.plain(answer.shown)}**", icon=":material/monitoring:")
        return
    guess = page_settings.guessed(lesson, now.guess)
    if not lesson.explores and not controls.same_setting(now):
        said = f"{guess:g} {lesson.guess.unit}".strip() if isinstance(guess, float) else guess
        st.info(
            f"Now it is **{show.plain(answer.shown)}**. Your guess ({show.plain(said)}) was for another setting.", icon=":material/tune:"
        )
        return
    found = answer.verdict(guess)
    (st.success if found.right else st.warning)(
        show.plain(found.sentence), icon=":material/check_circle:" if found.right else ":material/lightbulb:"
    )


def steps(now: Settings, lesson: Lesson, values: dict[str, Any], answer: Answer | None) -> None:
    """Show the buttons below a lesson, and the words that it uses."""
    kind: Any = "secondary" if answer is None else "primary"  # the way on stands out once the answer is there
    with st.container(horizontal=True, vertical_alignment="center", key="lesson_steps"):
        if lesson.number > 1:
            st.button("Back", key="back", icon=":material/arrow_back:", on_click=controls.go_to, args=(lesson.number - 1,))
        if controls.is_last(lesson.number):
            st.button("Structured or unstructured?", key="next", type=kind, on_click=session.change, kwargs={"part": "versus"})
        else:
            st.button("Next lesson", key="next", icon=":material/arrow_forward:", icon_position="right", type=kind,
                      on_click=controls.go_to, args=(lesson.number + 1,))  # fmt: skip
        if answer is not None:
            open_button(lesson.page, answer.settings, "open_real")
            if lesson.timed:
                st.button("Measure again", key="measure_again", icon=":material/replay:", on_click=controls.ask, args=(lesson, values),
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
