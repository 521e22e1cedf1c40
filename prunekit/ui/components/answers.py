"""A sample or a typed text, and what models answer to it, drawn by their types: the same for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import Any

import streamlit as st

from prunekit.formatting import listed, percent
from prunekit.plots import sample_answers
from prunekit.plots.sample_answers import answer_bars, answers_caption
from prunekit.tasks.shown import Answer, Bars, Boxes, ClassMap, Continuation, Prompt, Ranking, Shown
from prunekit.tasks.wording import capital
from prunekit.ui.components import show
from prunekit.ui.shared.asking import Question, enlarge
from prunekit.ui.state import codecs, session
from prunekit.ui.state.settings import Settings

SIDE = 160  # pixels of a picture
HIGH = 150  # pixels of the field of a text
BOXES = "Green boxes are right: they overlap an object of their class by half. Orange ones are wrong, dashed white ones were missed."
ACROSS = 3  # continuations beside each other
WRITTEN = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:'Source Code Pro',monospace;font-size:0.9rem"


def sample(shown: Shown, name: str) -> None:
    """Draw a sample, with what should be answered where that is drawn over it."""
    if shown.picture is not None and isinstance(shown.truth, (Boxes, ClassMap)):
        st.markdown("**As it is labelled**")
        overlay(shown, shown.truth, name)
        legend_of([shown.truth] if isinstance(shown.truth, ClassMap) else [])
    elif shown.picture is not None:
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


def draw(answers: Mapping[str, Answer], key: str, over: Shown | None = None, **look: Any) -> None:
    """Draw what models answer to one sample, side by side: they are of one type.

    ``over``: the sample, over whose picture boxes and classes of pixels are drawn.
    """
    _drawn(next(iter(answers.values())), answers, key, over, **look)


@singledispatch
def _drawn(first: Any, answers: Mapping[str, Any], key: str, over: Shown | None, **look: Any) -> None:
    """Draw answers of the type of the first."""
    raise NotImplementedError(f"no page knows how to draw {type(first).__name__}: register it in {__name__}")


@_drawn.register
def _bars(first: Bars, answers: Mapping[str, Bars], key: str, over: Shown | None, **look: Any) -> None:
    """Draw bars beside each other."""
    st.markdown(f"**{first.what}**")
    show.chart(answer_bars(answers, dark=show.dark(), **look), key, show.plain(answers_caption(answers)))


@_drawn.register
def _rankings(first: Ranking, answers: Mapping[str, Ranking], key: str, over: Shown | None, **look: Any) -> None:
    """List the first candidates of each model, and mark those that the first model did not have there."""
    st.markdown(f"**{first.what}** of {len(first.names):,}")
    for box, (name, each) in zip(st.columns(min(len(answers), ACROSS), gap="small") * len(answers), answers.items(), strict=False):
        lines = [
            f"<li>{escape(each.names[i])} {'<b>✓</b> ' if each.right[i] else ''}<span style='opacity:0.65'>"
            f"{percent(float(each.shares[i]))}{'' if i in first.first else ' · new'}</span></li>"
            for i in each.first
        ]
        with box:
            st.markdown(f"**{show.plain(name)}**")
            st.html(f"<ol style='margin:0;padding-left:1.4em;font-size:0.9rem;line-height:1.5'>{''.join(lines)}</ol>")
    st.caption(show.plain(rankings_caption(answers)))


def rankings_caption(answers: Mapping[str, Ranking]) -> str:
    """Say where what was chosen stands, and how many of the first candidates other models keep."""
    (_, first), *rest = answers.items()
    among = [int(each.right[each.first].sum()) for each in answers.values()]
    told = [f"{name} keeps {len({*each.first} & {*first.first})} of these {len(first.first)}" for name, each in rest]
    chosen = listed([f"{n} ({name})" for name, n in zip(answers, among, strict=True)])
    words = f"✓ was chosen, {int(first.right.sum()):,} of {len(first.names):,} in all; among the first {len(first.first)}: {chosen}."
    return f"{listed(told)}. {words}" if told else words


@_drawn.register(Boxes)
@_drawn.register(ClassMap)
def _pictures(first: Boxes | ClassMap, answers: Mapping[str, Any], key: str, over: Shown | None, **look: Any) -> None:
    """Draw the picture once for each model, with what that model finds in it."""
    if over is None or over.picture is None:
        st.caption("; ".join(f"**{show.plain(name)}** finds {show.plain(each.said)}" for name, each in answers.items()) + ".")
        return
    for box, (name, each) in zip(st.columns(min(len(answers), ACROSS), gap="small") * len(answers), answers.items(), strict=False):
        with box:
            st.markdown(f"**{show.plain(name)}**")
            overlay(over, each, f"What {name} finds: {each.said}")
            st.caption(show.plain(capital(told(over, each))) + ".")
    if look.get("legend", True):
        legend_of([over.truth, *answers.values()])


def overlay(shown: Shown, answer: Answer, alt: str) -> None:
    """Draw a sample's picture with what a model finds in it."""
    assert shown.picture is not None
    if isinstance(answer, Boxes):
        truth = shown.truth if isinstance(shown.truth, Boxes) else None
        drawn = sample_answers.boxes_over(shown.picture, answer, truth, dark=show.dark())
    else:
        assert isinstance(answer, ClassMap)
        drawn = sample_answers.classes_over(shown.picture, answer)
    st.image(drawn, width="stretch", alt=alt)


def told(shown: Shown, answer: Answer) -> str:
    """Say how much of what a model finds in a sample is right, or what it finds where nobody knows what is right."""
    if isinstance(answer, Boxes):
        return sample_answers.boxes_caption(answer, shown.truth if isinstance(shown.truth, Boxes) else None)
    if isinstance(answer, ClassMap):
        return sample_answers.class_map_caption(answer, shown.truth if isinstance(shown.truth, ClassMap) else None)
    return answer.said


def legend_of(answers: Sequence[Answer | None]) -> None:
    """Say what the colours of boxes and of pixels mean."""
    if any(isinstance(each, Boxes) for each in answers):
        st.caption(BOXES)
    found = [each for each in answers if isinstance(each, ClassMap)]
    if not found:
        return
    dots = "".join(
        f'<span style="white-space:nowrap;margin-right:0.9em"><span style="display:inline-block;width:0.8em;height:0.8em;'
        f'border-radius:2px;background:{colour};margin-right:0.35em"></span>{escape(name)}</span>'
        for name, colour in sample_answers.legend(found)
    )
    st.html(f'<div style="font-size:0.85rem;line-height:1.7">{dots}</div>')


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
