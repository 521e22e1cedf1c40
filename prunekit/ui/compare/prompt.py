"""What the dense model and the picked runs answer to one text of a person's own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.experiments.load_run import open_run
from prunekit.experiments.store import RunStore
from prunekit.formatting import listed
from prunekit.models.running import task_of
from prunekit.plots import theme
from prunekit.tasks.resolver import resolve
from prunekit.tasks.shown import MOST, Reader
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import answers, show
from prunekit.ui.shared import asking
from prunekit.ui.shared.asking import Question, Said
from prunekit.ui.shared.cache import shared
from prunekit.ui.state.settings import Settings

FEW = 6  # things of which bars are drawn where more than two models stand beside each other


@shared(64)
def _said(run: str, question: Question, _part: Any, _classes: tuple[str, ...], _store: RunStore) -> Said | None:
    """Return what a run says, opened for it; None where it runs in a runtime of its own, or nobody knows how to show its answer."""
    model = open_run(run, _store).model
    return None if model is None else asking.ask(model, question, task=task_of(model, _part), known=Reader(_part.coding, _classes))


def section(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show the field of a text where the task takes one, a button, and what each run says."""
    told = picked_runs.split_with_names(found)
    if told is None or getattr(told[0], "coding", None) is None:
        return
    part, classes = told
    task = resolve(None, part)
    if task.prompt is None:
        return
    show.section(f"What do they say to {task.prompt.label.lower()}?")
    left, right = st.columns([5, 7], gap="medium")
    with left:
        sample = task.shown(part, min(now.sample, len(part) - 1))
        question = answers.typed(now, task.prompt, sample.text if sample else "")
    columns = [column for column in found.all if not column.gone]
    known = all(_said.known(column.run.id, question, part, classes, store) for column in columns if column.run.kind != "quantised")
    with right:
        slot = st.empty()
        if not known and not slot.button("Ask all of them", key="ask_runs", icon=":material/forum:", type="primary"):
            show.empty("Each run is opened and asked when you press the button.", "forum")
            return
        slot.empty()
        said: dict[str, Said] = {}
        for column in columns:
            with show.plain_errors(stop=False), st.spinner(f"Asking {column.letter} …"):
                answer = _said(column.run.id, question, part, classes, store)
                said |= {} if answer is None else {column.letter: answer}
        if not said:
            return
        colours = [theme.dense(show.dark()), *(theme.run_colour(place, show.dark()) for place in range(len(found.columns)))]
        shades = [colours[place] for place, column in enumerate(found.all) if column.letter in said]
        answers.draw(
            {letter: each.answer for letter, each in said.items()}, "asked_runs", colours=shades, most=FEW if len(said) > 2 else MOST
        )
        silent = [column.letter for column in found.columns if column.letter not in said]
        if silent:
            st.caption(f"Not asked: {listed(silent)}, which cannot be opened here or runs in a runtime of its own.")
    written = {letter: each.continuation for letter, each in said.items() if each.continuation is not None}
    if written:
        answers.continuations(question.text, written)
