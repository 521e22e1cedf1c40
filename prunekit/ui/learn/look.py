"""How the Learn page looks: its parts, large type for a projector, the lessons as dots, and what a printer gets."""

from __future__ import annotations

import streamlit as st

from prunekit.lessons.lesson import LESSONS
from prunekit.ui.learn import controls
from prunekit.ui.state import session
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
