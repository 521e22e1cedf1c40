"""The button that saves a setting as a run."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import Run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import best_accuracy
from prunekit.formatting import percent
from prunekit.ui import routes
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.shared import job_sources, measuring
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.compare_settings import MOST_RUNS
from prunekit.ui.state.settings import Settings

HELP = (
    "Keeps this setting with its accuracy on all test images and its sizes, so that it can be compared, exported and found again. "
    "The same setting is the same run."
)


def button(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> None:
    """Show "Save as run" for the setting in view; it is saved in the background."""
    asked = _asked(now, loaded, view, data)
    job = None if asked is None else board().get(key_of("save", asked))
    done, busy = job is not None and job.state == "done" and _is_kept(job), job is not None and job.active
    no_place = board().store is None
    why = board().warning if no_place else "There are no data to measure it on: choose some on the Start page." if data is None else HELP
    st.button(
        "Saved as a run" if done else "Save as run", key="save_run", icon=":material/check:" if done else ":material/bookmark_add:",
        disabled=asked is None or no_place or busy or done, help=why, on_click=_start, args=(now, loaded, view, data),
    )  # fmt: skip


def panel(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> None:
    """Show how saving goes, and what the run is called once it is there."""
    asked = _asked(now, loaded, view, data)
    if asked is None:
        return
    key = key_of("save", asked)
    measuring.panel(key)
    job = board().get(key)
    if job is not None and job.state == "done" and isinstance(job.result, Run) and _is_kept(job):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Saved as run `{job.result.id[:12]}`: {job.result.title}.{_accuracy(job.result)}", width="content")
            button = st.button(
                "Compare it with others", key="compare_saved", type="tertiary", icon=":material/compare_arrows:", on_click=_pick,
                args=(job.result.id[: picked_runs.DIGITS],),
            )  # fmt: skip
            if button:
                st.switch_page(routes.page("compare"))


def _pick(name: str) -> None:
    """Put a run among those that are compared, as the last of them; a button's callback."""
    others = tuple(other for other in session.settings().runs if other != name)
    session.change(runs=(*others[-(MOST_RUNS - 1) :], name))


def _is_kept(job: Job) -> bool:
    """Whether what a job saved is still there: it may have been deleted since."""
    kept = board().store
    try:
        return kept is not None and isinstance(job.result, Run) and kept.get_run(job.result.id) is not None
    except PrunekitError:
        return False


def _accuracy(run: Run) -> str:
    """Return what was measured of a run, in a few words."""
    kept = board().store
    seen = None if kept is None else best_accuracy(kept.measurements(run.id))
    if seen is None:
        return ""
    found = seen.accuracy
    return f" Accuracy {show.plus_minus(found.value, found.low, found.high)} on {found.n:,} {seen.split} images."


def _asked(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> dict[str, Any] | None:
    """Return what is to be saved as plain values, or None where nothing can be."""
    if view is None or data is None:
        return None
    model, names = job_sources.names(now, loaded)
    return AccuracyRequest(model, names, view.spec, split="test").to_dict()


def _start(now: Settings, loaded: Loaded, view: View, data: Data) -> None:
    """Begin to save; a button's callback."""
    asked = _asked(now, loaded, view, data)
    assert asked is not None
    job_sources.lend(now, loaded, data)
    board().drop(key_of("save", asked))
    title = f"Save {loaded.source.name}, {view.spec.mode}" + (
        f" at {percent(view.spec.sparsity)}" if view.spec.sparsity is not None else ""
    )
    measuring.ask("save", asked, title)
