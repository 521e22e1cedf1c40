"""One sample on the Prune page, a text of one's own or one of the test data: what the dense model says of it beside the pruned one."""

from __future__ import annotations

import streamlit as st

from prunekit.ui.components import answers, show
from prunekit.ui.shared import asking, model_cache
from prunekit.ui.shared.asking import Question, Said
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import NO_IMAGES, Images, Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

LARGE = 30_000_000  # parameters: a larger model is asked at the press of a button, not at every move of a slider


def section(now: Settings, loaded: Loaded, view: View | None, images: Images) -> None:
    """Show a sample and both answers, where somebody knows how to show them."""
    if images == NO_IMAGES and loaded.info.tokeniser is None:
        return
    task = asking.task_here(loaded.source, images)
    prompt = task.prompt
    shown = None if images == NO_IMAGES else asking.sample(loaded, images, now.sample)
    if prompt is None and (shown is None or not now.asks):
        if shown is not None:
            st.toggle(f"Show what dense and pruned say of one {task.answered[0]}", **session.bind("asks"))
        return
    show.section("What does it say, dense and pruned?" if prompt is None else f"What does it say to {prompt.label.lower()}?")
    left, right = st.columns([5, 7], gap="medium")
    with left:
        question = answers.typed(now, prompt, shown.text if shown else "") if prompt else Question(sample=now.sample)
        if prompt is None and shown is not None:
            answers.sample(shown, f"Test {task.answered[0]} {now.sample}")
        if shown is not None:
            st.number_input(f"Test {task.answered[0]} no.", min_value=0, step=1, width=200, **session.bind("sample", then=_take_sample))
    found: dict[str, Said] = {}
    with right, show.plain_errors(stop=False):
        found = _answers(loaded, view, images, question)
        if found:
            answers.draw({name: said.answer for name, said in found.items()}, "one_sample", shown if prompt is None else None)
            note = next(iter(found.values())).note
            if note:
                st.info(note, icon=":material/content_cut:")
    written = {name: said.continuation for name, said in found.items() if said.continuation is not None} if question.text else {}
    if written:
        answers.continuations(question.text, written)


def _take_sample(place: int) -> None:
    """Take another sample of the data, and its text in place of what was typed."""
    session.change(sample=int(place), prompt="")


def _answers(loaded: Loaded, view: View | None, images: Images, question: Question) -> dict[str, Said]:
    """Return what both say; of a large model only once somebody wants to know."""
    source = loaded.source
    if images == NO_IMAGES and not question.text:
        show.empty("Type a text, and see what the model makes of it.", "edit")
        return {}
    if model_cache.counts_of(source).params > LARGE and not st.button("Ask both models", key="ask_both", icon=":material/forum:"):
        show.empty("This model is large: it is asked when you press the button.", "forum")
        return {}
    said = asking.dense(source, images, question)
    if said is None:
        return {}
    found = {"Dense": said}
    after = None if view is None else asking.pruned(source, view.spec, images, question, view)
    return found if after is None else found | {"Pruned": after}
