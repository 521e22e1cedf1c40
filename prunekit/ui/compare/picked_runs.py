"""The Compare page's ground: which runs are picked, what is known of them, and what is measured in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from prunekit.comparison.behaviour import Behaviour
from prunekit.comparison.columns import Column
from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.layers import ALL
from prunekit.comparison.metrics import FEWEST
from prunekit.config.ids import DataId
from prunekit.errors import PrunekitError, StoreError
from prunekit.experiments.backfill import fill
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.new_run import placed
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.formatting import listed, plural
from prunekit.reports.material import Shapes, images_of, said, shapes, split_of
from prunekit.reports.pictures import View
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import MOST_RUNS
from prunekit.ui.state.settings import Settings


def in_use(now: Settings) -> Loaded | None:
    """Return the model in use; None where it cannot be loaded."""
    try:
        return model_cache.load(source_of(now))
    except PrunekitError:
        return None


def is_of(run: Run, loaded: Loaded) -> bool:
    """Return whether a run was made of a model, at whatever size of its images."""
    usual, task = loaded.info.input_shape, run.model.get("task")
    if run.weights == model_cache.weights_known(loaded.source, usual or (), task):
        return True
    shape = tuple(run.info.get("input_shape") or usual or ())
    if run.model.get("name") != placed(measuring.model_of(loaded))["name"] or (shape == usual and not run.earlier):
        return False
    known = {model_cache.weights_known(loaded.source, shape, task)} | (
        {model_cache.earlier_weights_known(loaded.source, shape)} if run.earlier else set()
    )
    return run.weights in known


def data_of(now: Settings, found: Comparison) -> DataId | None:
    """Return the data of a comparison; where its runs name none, those in use, if they were made of the model in use."""
    data, loaded = images_of(found), in_use(now)
    if data is not None or loaded is None or not is_of(found.baseline.run, loaded):
        return data
    name = data_cache.data_name(now, loaded)
    return None if name == data_cache.NO_DATA else measuring.names(now, loaded)[1]


DIGITS = 12  # of a run's name, in the address and on the screen


def kept() -> RunStore | None:
    """Return the store of runs, or None after saying that there is none."""
    found = board().store
    if found is None:
        show.empty(show.plain(board().warning), "database_off")
        return None
    return rules.view(found)


def picked(now: Settings, store: RunStore) -> list[Run]:
    """Return the picked runs that are there, in order of picking; say which are not."""
    found = []
    for name in now.runs:
        try:
            found.append(store.find(name))
        except StoreError as error:
            st.warning(f"One of the picked runs is left out: {show.said(error)}.", icon=":material/link_off:")
    return found


def comparison(runs: list[Run], store: RunStore) -> Comparison | None:
    """Return the comparison of the picked runs, or None after saying what to do."""
    if len(runs) < FEWEST:
        more = "Pick 2 to 6 runs in the table" if not runs else "Pick one more run in the table"
        show.empty(f"{more}: tick the boxes at the left.", "checklist")
        return None
    with show.plain_errors(stop=False):
        return compare_runs([run.id for run in runs], store)
    return None


def names_of(found: Comparison) -> tuple[str, ...]:
    """Return what tells a comparison from others, for keys of caches and jobs."""
    return (*(column.run.id + ("-gone" if column.gone else "") for column in found.all), found.split, repr(found.data_id))


def toggle(run: str) -> None:
    """Pick a run, or let it go; only to be called from callbacks."""
    name, now = run[:DIGITS], session.settings().runs
    take(tuple(other for other in now if other != name) if name in now else (*now, name))


def take(runs: tuple[str, ...]) -> None:
    """Take other picks; what was bound to the old ones falls back. Only to be called from callbacks."""
    st.session_state["picks_turn"] = int(st.session_state.get("picks_turn", 0)) + 1
    change_runs(runs)


def change_runs(runs: tuple[str, ...]) -> None:
    """Put the picks into the settings; the table that sent them shows them already."""
    if len(runs) > MOST_RUNS:
        st.toast(f"At most {MOST_RUNS} runs stand beside each other: let one go first.", icon=":material/block:")
    session.change(runs=runs[:MOST_RUNS], pair="", behind=0, sheet=1)


@st.cache_data(max_entries=24, show_spinner="Opening the runs …")
def _shapes(names: tuple[str, ...], _found: Comparison, _store: RunStore) -> Shapes:
    """Return what the runs look like; frames only."""
    return shapes(_found, _store)


def shapes_of(found: Comparison, store: RunStore) -> Shapes:
    """Return what the runs look like, and say which could not be opened."""
    seen = _shapes(names_of(found), found, store)
    if seen.gone:
        _shapes.clear(names_of(found), found, store)  # it may be there again the next time
        for letter, why in seen.gone.items():
            st.warning(f"{letter} is not in these pictures: {show.plain(why)}", icon=":material/link_off:")
    for note in dict.fromkeys(seen.notes):
        st.caption(show.plain(note))
    return seen


@st.cache_data(max_entries=24, show_spinner=False)
def _said(names: tuple[str, ...], _found: Comparison, _store: RunStore) -> Behaviour | None:
    """Return what the runs predict, where that is stored."""
    return said(_found, _store)


def behaviour_of(found: Comparison, store: RunStore) -> Behaviour | None:
    """Return what the runs predict, or None where that is not known yet."""
    told = _said(names_of(found), found, store)
    if told is None:
        _said.clear(names_of(found), found, store)
    return told


@st.cache_resource(max_entries=3, show_spinner="Loading the data …")
def _split(model: str, data: str, split: str, _found: Comparison) -> Any:
    """Return the samples of a comparison."""
    return split_of(_found)


def split_with_names(found: Comparison) -> Any:
    """Return the samples on which runs are compared and the names of their classes."""
    return _split(repr(found.baseline.run.model), repr(found.data_id), found.split, found)


def layers_of(seen: Shapes) -> list[str]:
    """Return the layers whose weights can be drawn."""
    return [str(name) for name in seen.bins["part"].unique() if name != ALL]


def view_of(now: Settings, found: Comparison, layers: list[str]) -> View:
    """Return how the comparison is looked at; what the address asks for and cannot be had falls back."""
    letters = [column.letter for column in found.columns]
    return View(
        relative=now.relative,
        by=now.by,
        layer=layers[now.layer] if 0 <= now.layer < len(layers) else "",
        log=now.scale == "log",
        pair=now.pair,
        behind=letters[min(now.behind, len(letters) - 1)],
        x=now.x if now.x in found.metrics else "shipped",
        y=now.y if now.y in found.metrics else "accuracy",
        bound=now.bound or None,
        bound_on=now.bound_on,
    )


def fill_key(found: Comparison) -> str:
    """Return the key of the job that measures what is missing."""
    return measuring.key_of("fill", names_of(found), found.missing)


def _measure(found: Comparison, store: RunStore, data: DataId) -> None:
    """Start measuring what is missing; a button's callback."""

    def work(job: Job) -> bool:
        fill(found.to_fill, data, found.split, store, progress=job.progress, warn=job.warn)
        return True

    measuring.start(fill_key(found), f"What is missing of {plural(len(found.missing), 'run')}", work)


def missing(now: Settings, found: Comparison, store: RunStore) -> None:
    """Offer to measure what is missing, and show how far that is."""
    key, gone = fill_key(found), {column.run.id for column in found.all if column.gone}
    lacking = [column for column in found.all if column.run.id in set(found.missing) - gone]
    job = board().get(key)
    if job is not None and job.warning:
        st.warning(show.plain(job.warning), icon=":material/link_off:")
    data = data_of(now, found) if lacking else None
    if lacking and data is None:
        st.info(
            f"{found.quality.title} of these runs was not measured: their model has no data here. Choose data on the Start page, and it "
            "can be measured here.",
            icon=":material/database_off:",
        )
    elif lacking and data is not None and (job is None or job.state in ("failed", "cancelled")):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Measure what is missing", key="fill", type="primary", icon=":material/speed:", on_click=_measure, args=(found, store, data)
            )
            st.caption(_lacking(found, lacking, data))
    measuring.panel(key)


def _lacking(found: Comparison, columns: Sequence[Column], data: DataId) -> str:
    """Say what is missing of which runs: their quality, or only the sizes of their files."""
    judged = [column.letter for column in columns if column.accuracy is None or column.earlier]
    sized = [column.letter for column in columns if column.letter not in judged]
    said = []
    if judged:
        said.append(f"{found.quality.title} on the same {found.split} {found.units} of {show.plain(data.name)}, of {listed(judged)}")
    if sized:
        said.append(f"Sizes of the files of {listed(sized)}, whose {found.quality.phrase} is there")
    return f"{'. '.join(said)}."


def predict_key(found: Comparison) -> str:
    """Return the key of the job that predicts."""
    return measuring.key_of("predict", names_of(found))


def predict(found: Comparison, store: RunStore) -> None:
    """Start predicting; a button's callback."""

    def work(job: Job) -> bool:
        return said(found, store, stored=False, progress=job.progress) is not None

    measuring.start(predict_key(found), f"Predictions of {plural(len(found.all), 'run')}", work)
