"""The glossary: the field's words in plain ones, with the papers they come from."""

from __future__ import annotations

import streamlit as st

from prunekit.lessons import TERMS, Term
from prunekit.ui import show
from prunekit.ui.settings import Settings


def draw(now: Settings) -> None:
    """Show all words, or those that contain what is looked for."""
    show.section("What do the words mean?", f"{len(TERMS)} words of the field, with the paper behind each that has one.")
    looked = st.text_input("Find a word", key="find_word", placeholder="such as mask", width=320)
    found = matching(looked)
    if not found:
        show.empty(f"No word here contains “{show.plain(looked)}”. Try a shorter one.", "search_off")
    for term in found:
        st.markdown(entry(term))


def matching(looked: str) -> list[Term]:
    """Return the words that contain some letters in their name or meaning, in the order of the alphabet; all where nothing is looked for.

    Parameters
    ----------
    looked : str
        Letters, large or small.
    """
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
