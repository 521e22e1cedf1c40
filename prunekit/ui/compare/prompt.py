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
from prunekit.tasks.shown import MOST, Boxes, ClassMap, Reader
from prunekit.tasks.wording import capital
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import answers, show
from prunekit.ui.shared import asking
from prunekit.ui.shared.asking import Question, Said
from prunekit.ui.shared.cache import shared
from prunekit.ui.state.settings import Settings

FEW = 6  # things of which bars are drawn where more than two models stand beside each other


@shared(64)
def _said(run: str, on: str, question: Question, _told: tuple[Any, tuple[str, ...]], _store: RunStore) -> Said | None:
    """Return what a run says on some data, opened for it; None for a runtime of its own, or where nobody knows how to show its answer."""
    model, (part, classes) = open_run(run, _store).model, _told
    known = Reader(getattr(part, "coding", None), classes, getattr(getattr(part, "wording", None), "called", None))
    return None if model is None else asking.ask(model, question, task=task_of(model, part), known=known, part=part)


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
    said: dict[str, Said] = {}
    with right, show.plain_errors(stop=False):
        task.read(question.text, Reader(part.coding, classes))  # what cannot be read is said once, before anything is opened
        said = _asked(found, question, told, store)
    written = {letter: each.continuation for letter, each in said.items() if each.continuation is not None}
    if written:
        answers.continuations(question.text, written)


def changed(found: Comparison, store: RunStore, letter: str, places: list[int], told: Any) -> None:
    """Draw samples over which answers can be drawn, what the dense model and one run find in each, once somebody wants to know."""
    part, classes = told
    task = resolve(None, part)
    first, on = task.shown(part, places[0], classes), repr((found.data_id, found.split))
    columns = [
        column for column in (found.baseline, *found.columns) if column.letter in (found.baseline.letter, letter) and not column.gone
    ]
    ranks = task.answered[1] != task.units_of_data  # what several samples share is an order of them
    if first is None or not (ranks or isinstance(first.truth, (Boxes, ClassMap))) or len(columns) < 2:
        return
    known = all(_said.known(column.run.id, on, Question(sample=place), told, store) for column in columns for place in places)
    what = f"Show the {task.answered[1]} with what dense and {letter} offer" if ranks else f"Show what dense and {letter} find in them"
    if not known and not st.button(what, key="draw_changed", icon=":material/image_search:"):
        return
    for left, right in zip(places[::2], [*places[1::2], None], strict=False):
        for box, place in zip(st.columns(2, gap="medium"), (left, right), strict=True):
            if place is not None:
                with box, show.plain_errors(stop=False):
                    shown = task.shown(part, place, classes)
                    said = {column.letter: _said(column.run.id, on, Question(sample=place), told, store) for column in columns}
                    found_here = {name: each.answer for name, each in said.items() if each is not None}
                    if shown is not None and found_here:
                        st.caption(f"{capital(task.answered[0])} no. {place}")
                        if ranks:
                            answers.sample(shown, f"{task.answered[0]} {place}")
                        answers.draw(found_here, f"changed_{place}", shown, legend=False)
    answers.legend_of([first.truth])


def _asked(found: Comparison, question: Question, told: tuple[Any, tuple[str, ...]], store: RunStore) -> dict[str, Said]:
    """Return and draw what each run says, once somebody wants to know."""
    columns = [column for column in found.all if not column.gone]
    slot, said, on = st.empty(), dict[str, Said](), repr((found.data_id, found.split))
    known = all(_said.known(column.run.id, on, question, told, store) for column in columns if column.run.kind != "quantised")
    if not known and not slot.button("Ask all of them", key="ask_runs", icon=":material/forum:", type="primary"):
        show.empty("Each run is opened and asked when you press the button.", "forum")
        return {}
    slot.empty()
    for column in columns:
        with show.plain_errors(stop=False), st.spinner(f"Asking {column.letter} …"):
            answer = _said(column.run.id, on, question, told, store)
            said |= {} if answer is None else {column.letter: answer}
    if said:
        colours = [theme.dense(show.dark()), *(theme.run_colour(place, show.dark()) for place in range(len(found.columns)))]
        shades = [colours[place] for place, column in enumerate(found.all) if column.letter in said]
        shown = {letter: each.answer for letter, each in said.items()}
        answers.draw(shown, "asked_runs", colours=shades, most=FEW if len(said) > 2 else MOST)
    silent = [column.letter for column in found.all if column.letter not in said]
    if silent:
        st.caption(f"Not asked: {listed(silent)}, which cannot be opened here or runs in a runtime of its own.")
    return said
