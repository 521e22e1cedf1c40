"""A sample or a typed text, and what models answer to it, drawn by their types: the same for every task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from html import escape
from typing import Any

import streamlit as st

from prunekit.plots.answers import answer_bars, answers_caption
from prunekit.tasks.shown import Answer, Bars, Continuation, Prompt, Shown
from prunekit.ui.components import show
from prunekit.ui.shared.asking import Question
from prunekit.ui.start.gallery import enlarge
from prunekit.ui.state import codecs, session
from prunekit.ui.state.settings import Settings

SIDE = 160  # pixels of a picture
HIGH = 150  # pixels of the field of a text
ACROSS = 3  # continuations beside each other
WRITTEN = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:'Source Code Pro',monospace;font-size:0.9rem"


def sample(shown: Shown, name: str) -> None:
    """Draw a sample."""
    if shown.picture is not None:
        st.image(enlarge(shown.picture, SIDE), alt=name)
    elif shown.text:
        st.text(shown.text)
    else:
        st.markdown("  \n".join(f"{show.plain(field)}: **{show.plain(value)}**" for field, value in shown.fields.items()))


def typed(now: Settings, prompt: Prompt, usual: str) -> Question:
    """Ask for a text; an empty field takes that of the data."""
    usual = usual[: len(usual) // 2] if prompt.goes_on else usual
    st.text_area(
        prompt.label, height=HIGH, max_chars=codecs.LONGEST, help=prompt.help, placeholder="Type something",
        **session.bind("prompt", show=lambda text: text or usual),
    )  # fmt: skip
    if not prompt.goes_on:
        return Question(now.prompt or usual)
    st.segmented_control(
        "Goes on by", ["likeliest", "drawn"], required=True, **session.bind("going", start="default"),
        format_func={"likeliest": "the likeliest token", "drawn": f"tokens drawn, seed {now.seed}"}.__getitem__,
    )  # fmt: skip
    return Question(now.prompt or usual, goes_on=True, seed=now.seed if now.going == "drawn" else None)


def draw(answers: Mapping[str, Answer], key: str, **look: Any) -> None:
    """Draw what models answer to one sample, side by side: they are of one type.

    Parameters
    ----------
    answers : mapping of str to Answer
        By what the model is called, the dense one first.
    key : str
        Of the chart.
    **look
        What the type of the answer can be drawn with.
    """
    _drawn(next(iter(answers.values())), answers, key, **look)


@singledispatch
def _drawn(first: Any, answers: Mapping[str, Any], key: str, **look: Any) -> None:
    """Draw answers of the type of the first."""
    raise NotImplementedError(f"no page knows how to draw {type(first).__name__}: register it in {__name__}")


@_drawn.register
def _bars(first: Bars, answers: Mapping[str, Bars], key: str, **look: Any) -> None:
    """Draw bars beside each other."""
    st.markdown(f"**{first.what}**")
    show.chart(answer_bars(answers, dark=show.dark(), **look), key, show.plain(answers_caption(answers)))


def continuations(given: str, found: Mapping[str, Continuation]) -> None:
    """Show how models go on from a text, side by side."""
    tail = given[-60:]
    rows = -(-len(found) // ACROSS)
    across = -(-len(found) // rows)  # four in two rows of two, rather than three and one
    boxes = [box for _ in range(rows) for box in st.columns(across, gap="medium")]
    for box, (name, each) in zip(boxes, found.items(), strict=False):
        with box, st.container(border=True, height="stretch"):
            st.markdown(f"**{show.plain(name)}** goes on")
            before = ("…" if len(given) > len(tail) else "") + tail
            st.html(f'<div style="{WRITTEN}"><span style="opacity:0.55">{escape(before)}</span><b>{escape(each.text)}</b></div>')
    how = next(iter(found.values())).how
    st.caption(f"In bold what it writes, {how}.")
