"""A page to print: all questions with room for guesses and measurements, and the words beneath."""

from __future__ import annotations

from html import escape

import streamlit as st

from prunekit.lessons import LESSONS, TERMS, Lesson
from prunekit.plots.lessons import signed_number
from prunekit.ui import show
from prunekit.ui.learning.pictures import by_hand
from prunekit.ui.settings import Settings


def draw(now: Settings) -> None:
    """Show the sheet; the browser prints it without menus and buttons."""
    show.section(
        "Nine questions on paper", "Print this page with Ctrl+P (⌘P): menus and buttons stay away. No answers: they are measured in class."
    )
    st.html("".join(question(lesson) for lesson in LESSONS))
    used = {word for lesson in LESSONS for word in lesson.terms}
    entries = "".join(f"<p><b>{escape(term.word)}</b>: {escape(term.meaning)}</p>" for term in TERMS if term.word in used)
    st.html(f'<div class="lesson-sheet"><h3>Words in the lessons</h3>{entries}</div>')


def question(lesson: Lesson) -> str:
    """Return one question as HTML, with room for a guess, for what was measured and for why."""
    guess = lesson.guess
    if guess.kind == "number":
        asked = f'<p>{escape(guess.label)}. My guess: <span class="line"></span> {escape(guess.unit)}</p>'
    else:
        asked = "<ul>" + "".join(f"<li>☐ {escape(option)}</li>" for option in guess.options) + "</ul>"
    asked += matrix() if lesson.key == "matrix" else ""
    room = '<p>Measured: <span class="line"></span></p><p>Why: <span class="line long"></span></p>'
    return f'<div class="lesson-sheet"><h3>{lesson.number}. {escape(lesson.title)}</h3><p>{escape(lesson.question)}</p>{asked}{room}</div>'


def matrix() -> str:
    """Return the weights that are pruned by hand as a table to cross out in."""
    words = [signed_number(weight) for weight in by_hand()]
    side = round(len(words) ** 0.5)
    rows = ("".join(f"<td>{word}</td>" for word in words[start : start + side]) for start in range(0, len(words), side))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
