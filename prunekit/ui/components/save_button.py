"""The button that saves a setting as a run."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import LONGEST_NAME, Run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import best_accuracy
from prunekit.formatting import percent
from prunekit.ui import routes
from prunekit.ui.classroom import rules
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.shared import measuring
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import MOST_RUNS
from prunekit.ui.state.settings import Settings

CALLED = "called"
HELP = (
    "Keeps this setting with its {metric} on all test {units} and its sizes, so that it can be compared, exported and found again. "
    "The same setting is the same run."
)
WITHOUT = (
    "Keeps this setting with its sizes, so that it can be compared, exported and found again. There are no data here, so its {metric} is "
    "noted as not measured; with data it can be measured later, on the Compare page."
)


def button(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> None:
    """Show "Save as run" for the setting in view, and a field for its name; it is saved in the background."""
    request = _save_request(now, loaded, view, data)
    job = None if request is None else _job(request)
    done, busy = job is not None and job.state == "done" and _is_kept(job), job is not None and job.active
    no_place, called = board().store is None, _typed()
    renamed = done and job is not None and called not in ("", _name(job.result))
    words = "Rename the run" if renamed else "Saved as a run" if done else "Save as run"
    st.button(
        words, key="save_run", icon=":material/check:" if done and not renamed else ":material/bookmark_add:",
        disabled=request is None or no_place or busy or (done and not renamed),
        help=board().warning if no_place else (WITHOUT if data is None else HELP).format(**words_of(now, loaded)),
        on_click=_rename if renamed else _start, args=(job.result.id,) if renamed and job is not None else (now, loaded, view, data),
    )  # fmt: skip
    st.text_input(
        "Name of the run", key=NAME, max_chars=LONGEST_NAME, placeholder="Name of the run, if you like", width=220,
        label_visibility="collapsed",
    )  # fmt: skip


def words_of(now: Settings, loaded: Loaded) -> dict[str, str]:
    """Return what quality and samples are called."""
    task = measuring.task_here(now, loaded)
    return {"metric": task.headline.phrase, "units": task.units_of_data}


NAME = "save_name"


def _typed() -> str:
    """Return the name that was typed, in the form in which it is kept."""
    return " ".join(str(st.session_state.get(NAME, "")).split())


def _name(run: Run) -> str:
    """Return what a run is called."""
    kept = board().store
    return "" if kept is None else rules.view(kept).label(run.id).name


def _rename(run: str) -> None:
    """Give a saved run another name; a button's callback."""
    kept = board().store
    if kept is not None:
        rules.view(kept).relabel(run, name=_typed())


def _job(request: dict[str, Any]) -> Job | None:
    """Return the latest job that saves a setting, under whatever name."""
    same = [job for job in board().all() if job.kind == "save" and {**job.request, CALLED: ""} == {**request, CALLED: ""}]
    return max((job for job in same if rules.submitted_here(job.key)), key=lambda job: job.number, default=None)


def panel(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> None:
    """Show how saving goes, and what the run is called once it is there."""
    request = _save_request(now, loaded, view, data)
    job = None if request is None else _job(request)
    measuring.panel("" if job is None else job.key)
    if job is not None and job.state == "done" and isinstance(job.result, Run) and _is_kept(job):
        name = _name(job.result)
        told = f"{f'**{show.plain(name)}**, ' if name else ''}`{job.result.id[:12]}`: {show.plain(job.result.title)}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Saved as run {told}. {_quality(job.result, now, loaded)}", width="content")
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


def _quality(run: Run, now: Settings, loaded: Loaded) -> str:
    """Return what was measured of a run, in a few words."""
    kept = board().store
    task = measuring.task_here(now, loaded)
    seen = None if kept is None else best_accuracy(kept.measurements(run.id))
    if seen is None:
        return f"{task.headline.title} not measured."
    found, units = seen.evaluation, task.units_of_data
    return f"{found.metric.title} {show.plus_minus(found.value, found.low, found.high, found.metric)} on {found.n:,} {seen.split} {units}."


def _save_request(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> dict[str, Any] | None:
    """Return what is to be saved as plain values, or None where nothing can be."""
    if view is None:
        return None
    model, of_data = (measuring.model_of(loaded), None) if data is None else measuring.names(now, loaded)
    return AccuracyRequest(model, of_data, view.spec, split="test").to_dict()


def _start(now: Settings, loaded: Loaded, view: View, data: Data | None) -> None:
    """Begin to save; a button's callback."""
    request = _save_request(now, loaded, view, data)
    assert request is not None
    if data is None:
        measuring.lend_alone(loaded)
    else:
        measuring.lend(now, loaded, data)
    before, called = _job(request), _typed()
    for key in (key_of("save", request), "" if before is None else before.key):
        board().drop(key)
    title = f"Save {loaded.source.name}, {view.spec.mode}" + (
        f" at {percent(view.spec.sparsity)}" if view.spec.sparsity is not None else ""
    )
    measuring.ask("save", request | ({CALLED: called} if called else {}), title)
