"""The Find page: what is searched for, the job that searches, and what is known of it."""

from __future__ import annotations

from math import nan

import streamlit as st

from prunekit.config.recovery import Recovery
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.search.request import Found, SearchRequest
from prunekit.experiments.search.run import stored
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import capital
from prunekit.ui.classroom import rules
from prunekit.ui.components import metric_controls
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

GOALS = {"params": "Parameters", "macs": "MACs", "bytes": "Bytes on disk", "latency": "Time"}
GOALS_HELP = (
    "- **Parameters**, **MACs**: counted; channels leave.\n- **Bytes on disk**: counted; single weights may become zero, too.\n"
    "- **Time**: MACs tell trials apart; at the end the three best are timed in turns on this machine, and the fastest is chosen."
)


def ask(now: Settings, loaded: Loaded, data: Data, task: Task) -> SearchRequest | None:
    """Show what can be chosen; return the request, or None after saying what is missing."""
    split, metric = "validation" if data.validation is not None else "test", task.headline
    dense_first = AccuracyRequest(*measuring.lend(now, loaded, data), None, split=split)
    dense = _dense(dense_first, loaded, data) if metric.unit != PERCENT else None
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.segmented_control(
                "Make small", list(GOALS), format_func=GOALS.__getitem__, required=True, help=GOALS_HELP,
                **session.bind("minimise", start="default"),
            )  # fmt: skip
            floors = {"lose": "May lose so much", "hold": "Must hold a value"}
            st.segmented_control(
                capital(metric.phrase),
                list(floors),
                format_func=floors.__getitem__,
                required=True,
                **session.bind("floor", start="default"),
            )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            if now.floor == "hold":
                _hold(metric)
            elif metric.unit == PERCENT or dense is not None:
                metric_controls.ask(metric_controls.phrase(metric), metric, nan if dense is None else dense.value)
            st.number_input(
                "Minutes", min_value=0.1, max_value=1440.0, step=1.0, format="%g", width=130, **session.bind("minutes"),
                help="How long to search; started again, it goes on for so long.",
            )  # fmt: skip
            st.number_input(
                "Most epochs", min_value=0, max_value=200, step=1, width=130, disabled=data.train is None, **session.bind("tuned"),
                help="Of fine-tuning after the cut; without training data, or at 0, nothing is fine-tuned.",
            )  # fmt: skip
        n, units = len(getattr(data, split)), task.units_of_data
        st.caption(
            f"{n:,} {split} {units} choose, and all {len(data.test):,} test {units} confirm the best once."
            if split == "validation"
            else f"These data have no validation split: the same {n:,} test {units} choose and confirm."
        )
    if now.floor == "hold" and now.hold is None:
        st.info(f"Say which {metric.phrase} must hold.", icon=":material/edit:")
        return None
    if now.floor == "lose" and metric.unit != PERCENT and dense is None:
        _measure_dense(dense_first, metric, loaded)
        return None
    floor = (
        {"hold": now.hold} if now.floor == "hold" else {"lose": metric_controls.allowed(now, metric, nan if dense is None else dense.value)}
    )
    assert dense_first.data is not None
    return SearchRequest(
        dense_first.model, dense_first.data, now.minimise, **floor, split=split, epochs=now.tuned if data.train is not None else 0,
        seed=now.seed, budget_s=60 * now.minutes,
    )  # fmt: skip


def _hold(metric: Metric) -> None:
    """Show the value that must hold, in the metric's own unit."""
    side = "at least" if metric.better == HIGHER else "at most"
    label = f"{capital(metric.phrase)} of {side}" + (f", {metric.unit}" if metric.unit else "")
    if metric.unit == PERCENT:
        how = {"min_value": 0.0, "max_value": 100.0, "step": 0.5, "format": "%g"}
        bound = session.bind("hold", show=lambda v: None if v is None else round(100 * v, 6), take=lambda v: round(v / 100, 8))
    else:
        how, bound = {"format": "%.6g"}, session.bind("hold", take=lambda v: float(f"{v:.10g}"))
    st.number_input(label, width=260, placeholder="a value", **how, **bound)  # type: ignore[call-overload]


def _dense(request: AccuracyRequest, loaded: Loaded, data: Data) -> Evaluation | None:
    """Return the dense model's quality on the samples that choose, where it was measured."""
    point = measuring.finished(key_of("accuracy", request.to_dict()))
    kept = board().store
    if point is None and kept is not None:
        point = Experiment(request, loaded.model, data, Keeper(kept)).stored(None, Recovery())
    return point.accuracy if isinstance(point, SweepPoint) else None


def _measure_dense(request: AccuracyRequest, metric: Metric, loaded: Loaded) -> None:
    """Offer to measure the dense model, whose value says how much of a metric without a fixed scale is little."""
    key = key_of("accuracy", request.to_dict())
    job = board().get(key)
    st.info(f"How much {metric.phrase} may change is said beside the dense model's: measure that first.", icon=":material/straighten:")
    st.button(
        "Measure the dense model", key="measure_dense", type="primary", icon=":material/speed:", disabled=job is not None and job.active,
        on_click=measuring.ask, args=("accuracy", request.to_dict(), f"{metric.title} of {model_cache.title_of(loaded.source.name)}"),
    )  # fmt: skip
    measuring.panel(key)


def job_of(request: SearchRequest) -> Job | None:
    """Return the latest job with the same question, whatever time it was given."""
    alike = (job for job in board().all() if job.kind == "search" and SearchRequest.from_dict(job.request).study == request.study)
    return max((job for job in alike if board().get(job.key) is job), key=lambda job: job.number, default=None)


def known(request: SearchRequest, loaded: Loaded, data: Data) -> Found | None:
    """Return what is known by now: of the job, or else of the store."""
    job, kept = job_of(request), board().store
    if job is not None and (job.result is not None or job.partial):
        return job.result or job.partial[-1]  # type: ignore[no-any-return]
    if kept is None or not rules.submitted_here(key_of("search", request.to_dict())):
        return None
    try:
        return stored(request, kept, loaded.model, data)
    except PrunekitError:
        return None


def button(now: Settings, loaded: Loaded, request: SearchRequest | None, found: Found | None) -> None:
    """Show the button that starts the search, or has it go on."""
    job = None if request is None else job_of(request)
    busy, more = job is not None and job.active, found is not None and bool(found.trials)
    title = f"Search: {model_cache.title_of(loaded.source.name)}, {GOALS[now.minimise].lower()}"
    words = "Searching …" if busy else f"Go on for {now.minutes:g} min" if more else "Start"
    st.button(
        words, key="find_start", type="primary", icon=f":material/{'hourglass_top' if busy else 'resume' if more else 'play_arrow'}:",
        disabled=busy or request is None, on_click=_start, args=(request, title),
    )  # fmt: skip


def _start(request: SearchRequest, title: str) -> None:
    """Start a search, or have it go on; a button's callback."""
    board().drop(key_of("search", request.to_dict()))  # one that is over is no answer: more time is wanted
    measuring.ask("search", request.to_dict(), title)
