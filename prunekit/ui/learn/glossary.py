"""The glossary, and a page to print: all questions with room for guesses and measurements, and the words beneath."""

from __future__ import annotations

from html import escape

import streamlit as st

from prunekit.lessons.glossary import TERMS, Term
from prunekit.lessons.lesson import LESSONS, Lesson
from prunekit.plots.lessons import signed_number
from prunekit.ui.components import show
from prunekit.ui.learn.pictures import by_hand
from prunekit.ui.state.settings import Settings


def draw(now: Settings) -> None:
    """Show the sheet; the browser prints it without menus and buttons."""
    show.section(
        "The questions on paper", "Print this page with Ctrl+P (⌘P): menus and buttons stay away. No answers: they are measured in class."
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


def glossary(now: Settings) -> None:
    """Show all words, or those that contain what is looked for."""
    show.section("What do the words mean?", f"{len(TERMS)} words of the field, with the paper behind each that has one.")
    looked = st.text_input("Find a word", key="find_word", placeholder="such as mask", width=320)
    found = matching(looked)
    if not found:
        show.empty(f"No word here contains “{show.plain(looked)}”. Try a shorter one.", "search_off")
    for term in found:
        st.markdown(entry(term))


def matching(looked: str) -> list[Term]:
    """Return the words that contain some letters in their name or meaning, by alphabet; all where nothing is looked for."""
    letters = looked.strip().lower()
    return [term for term in TERMS if letters in term.word.lower()] or [term for term in TERMS if letters in term.meaning.lower()]


def entry(term: Term) -> str:
    """Return one word as Markdown: what it means, and where it comes from."""
    text = f"**{term.word}**: {show.plain(term.meaning)}"
    if term.paper is None:
        return text
    paper = term.paper
    where = f"[arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else show.plain(paper.place)
    return f"{text}  \n:gray[{show.plain(paper.authors)} ({paper.year}): {show.plain(paper.title)}.] {where}"
