"""Measurements as background jobs of a page: their request, their key, and their progress on the screen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, PrunekitError
from prunekit.experiments.identity import for_task
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of as job_key
from prunekit.experiments.jobs.job import Job, Work
from prunekit.experiments.sources import fresh, use_loader
from prunekit.formatting import plural
from prunekit.tasks.protocol import Task
from prunekit.tasks.registry import DEFAULT, task
from prunekit.tasks.resolver import resolve
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.shared.cache import LRU
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session as tab
from prunekit.ui.state.settings import Settings
from prunekit.ui.state.uploads import uploads

_LENT = LRU[tuple[ModelId, DataId | None], tuple[nn.Module, Any]](6)


def names(now: Settings, loaded: Loaded) -> tuple[ModelId, DataId]:
    """Return the model and the data in use as the core names them."""
    model = model_of(loaded)
    name = data_cache.data_name(now, loaded)
    if name == data_cache.NO_DATA:
        raise DataError("there are no data to measure on: choose some on the Start page")
    return model, data_cache.data_id(name, now.limit, loaded)


def model_of(loaded: Loaded) -> ModelId:
    """Return the model in use as the core names it."""
    entry, source = model_cache.entry_of(loaded.source.name), loaded.source
    path = uploads().path(source.upload) if source.upload else None
    weights = str(path) if path is not None else (f"upload:{source.upload}" if source.upload else entry.id.weights)
    return ModelId(
        entry.id.name, weights, source.pretrained or entry.id.pretrained, model_cache.task_of(source, entry), outputs=source.outputs
    )


def lend(now: Settings, loaded: Loaded, data: Any) -> tuple[ModelId, DataId]:
    """Return what `names` does, and let jobs of this server use what is loaded already."""
    key = names(now, loaded)
    _LENT.put(key, (loaded.model, data))
    return key


def lend_alone(loaded: Loaded) -> ModelId:
    """Return what the core calls a model that has no data here, and let jobs of this server use it."""
    name = model_of(loaded)
    _LENT.put((name, None), (loaded.model, None))
    return name


def _loader(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Return what was lent, else load it."""
    return _LENT.get((model_id, data_id)) or fresh(model_id, data_id)


use_loader(_loader)


KEPT = {
    "sensitivity": "What was measured is kept: asked again, it goes on from there.",
    "repeats": "The points that were measured are kept: asked again, it goes on from there.",
    "furthest": "What was measured on the way is kept: asked again, it goes on from there.",
    "search": "Every trial is kept: asked again, it goes on from there.",
    "recover": "Steps that have their figures are kept. Fine-tuning keeps weights only at its end: asked again, it begins anew.",
    "train": "No weights are kept before the end: asked again, it begins anew.",
}
"""What of a cancelled job of some kind is there when it is asked for again."""
QUICK = 3e9  # multiply-accumulates that are measured at once, without a job: about a second


_PAGE, _SHOWN, _ASKED = "page_drawn", "jobs_on_page", "jobs_asked_for"


def begin_page(name: str) -> None:
    """Note which page is drawn, and that it has shown no job yet."""
    st.session_state[_PAGE], st.session_state[_SHOWN] = name, set()


def job(key: str) -> Job | None:
    """Return a job that the page shows, if there is one."""
    st.session_state.setdefault(_SHOWN, set()).add(key)
    return board().get(key)


def others() -> None:
    """Say of each job that was asked for on this page, and whose results nobody saw yet, where its settings are, if they are not here."""
    asked: dict[str, tuple[str, Settings]] = st.session_state.get(_ASKED, {})
    for key, (page, then) in list(asked.items()):
        known, shown = board().get(key), key in st.session_state[_SHOWN]
        if known is None or known.state == "cancelled" or (shown and not known.active):
            del asked[key]
        elif page == st.session_state[_PAGE] and not shown:
            state = "under way" if known.active else "done" if known.state == "done" else "over"
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(f"**{show.plain(known.title)}**, asked for here with other settings, is {state}.", width="content")
                st.button("Back to them", key=f"back_{key}", type="tertiary", icon=":material/undo:", on_click=tab.put, args=(then,))


def _remember(key: str) -> None:
    """Keep with which settings, and on which page, a job was asked for."""
    if _PAGE in st.session_state:  # nobody looks at what is asked for elsewhere
        st.session_state.setdefault(_ASKED, {})[key] = (st.session_state[_PAGE], tab.settings())


def session() -> str:
    """Return the id of this browser tab's session."""
    context = get_script_run_ctx()
    return context.session_id if context is not None else ""


def key_of(*parts: object) -> str:
    """Return a hash of what a measurement depends on."""
    return hashlib.sha256("|".join(map(repr, parts)).encode()).hexdigest()[:16]


def of_data(settings: Settings, loaded: Loaded) -> tuple[object, ...]:
    """Return what identifies the model and the data of a measurement."""
    name = data_cache.data_name(settings, loaded)
    return (loaded.source, name, settings.limit, data_cache.data_code(name, loaded))


def start(key: str, title: str, work: Work, *, alone: bool = False) -> None:
    """Start a job that ends with the server, ``alone`` if it measures time; to be called from a button's callback."""
    if rules.takes(key):
        _remember(key)
        board().submit_local(key, title, work, session(), alone=alone)


def ask(kind: str, request: Mapping[str, Any], title: str) -> None:
    """Start a job that a restarted server takes up again; to be called from a button's callback."""
    if rules.takes(key := job_key(kind, request)):
        _remember(key)
        board().submit(kind, request, title, session())


def stop(key: str) -> None:
    """Cancel this tab's wish for a job, and those of tabs that are closed; to be called from a button's callback."""
    known = board().get(key)
    for by in list(known.wanted_by) if known is not None else ():
        if not _open(by):
            board().stop(key, by)
    board().stop(key, session())


def mine(job: Job) -> bool:
    """Return whether this tab may stop a job: nobody else with an open tab waits for it."""
    return not job.elsewhere and not any(_open(by) for by in job.wanted_by - {session()})


def _open(by: str) -> bool:
    """Return whether a tab is still open."""
    return bool(by) and runtime.exists() and runtime.get_instance().is_active_session(by)


def standing(job: Job) -> str:
    """Return where an unfinished job stands, in words: its place in the queue, or what it does and how long that takes."""
    if job.state == "waiting" and not job.elsewhere:
        ahead = board().ahead(job.key)
        if not ahead:
            return "about to start"
        first = f"“{ahead[0].title}”" if board().shows(ahead[0]) else "a job of somebody else"
        return f"waits for {first}" + (f" and {plural(len(ahead) - 1, 'more job')}" if ahead[1:] else "")
    text = job.text or "starting"
    if job.elsewhere:
        text += ", by another server"
    return text if job.left_s is None else f"{text}, {time_left(job.left_s)} left"


def time_left(seconds: float) -> str:
    """Return a time to wait as people say it."""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def weights_of(settings: Settings, loaded: Loaded, shape: tuple[int, ...]) -> str:
    """Return what the runs of the model are known by, on samples of a shape, with the task that the data tell."""
    data = data_cache.data_here(settings, loaded)
    name = model_of(loaded) if data is None else for_task(model_of(loaded), loaded.model, data)
    return model_cache.weights_known(loaded.source, shape, name.task)


def finished(key: str) -> Any:
    """Return the result of a job that is done, otherwise None."""
    known = job(key)
    return known.result if known is not None and known.state == "done" else None


def task_here(settings: Settings, loaded: Loaded) -> Task:
    """Return the task of a model on the data in use, so far as it can be told at once: what a quality is called before it is measured."""
    try:
        return resolve(loaded.model, data_cache.data_here(settings, loaded))
    except PrunekitError:  # whoever measures is told
        return task(DEFAULT)


def panel(key: str, draw: Callable[[Job], None] | None = None) -> None:
    """Show a job's progress with Cancel while it is under way, and why it failed if it did."""
    known = job(key)
    with show.slot():
        if known is None:
            return
        if known.active:
            st.fragment(_live, run_every=0.7, key=f"live_{key}")(key, draw)
        else:
            ended(known)


def ended(known: Job, title: str = "") -> None:
    """Say of a job that is over, but not done, why it failed, below a title, or what was kept of it when it was cancelled."""
    if known.state == "failed":
        st.error(f"{show.plain(title)}: {show.failed(known)}" if title else show.failed(known), icon=":material/error:")
    elif known.state == "cancelled":
        st.caption(f"Cancelled: {show.plain(known.title)}. {KEPT.get(known.kind, '')}")


def _live(key: str, draw: Callable[[Job], None] | None) -> None:
    """Draw progress; once the job is over, draw the whole page."""
    known = board().get(key)
    if known is None or not known.active:
        st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(known.fraction, text=f"{show.plain(known.title)}: {show.plain(standing(known))}")
        st.button("Cancel", key=f"cancel_{key}", icon=":material/close:", on_click=stop, args=(key,))
    if draw is not None:
        draw(known)
