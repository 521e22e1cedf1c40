"""The Sensitivity page: what is pruned alone, and the job that measures it."""

from __future__ import annotations

import streamlit as st

from prunekit.config.choices import DEFAULT_CRITERION, default_scope, drawn_criteria_of
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError, StoreError
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.sensitivity_run import SensitivityRequest, stored
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import capital
from prunekit.ui.accuracy import choices, sweeps
from prunekit.ui.classroom import rules
from prunekit.ui.components import setting_controls, show
from prunekit.ui.components.field_controls import ROWS, control
from prunekit.ui.sensitivity.pictures import panels
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.compatible import MODES
from prunekit.ui.state.settings import Settings

FULL = (
    "Off, each layer at each share is measured until its loss lies clear of the allowed one, by its paired interval. On, all are measured "
    "on as many; so they are for a goal in parameters or MACs."
)


def mode_of(now: Settings) -> str:
    """Return the mode that layers are pruned in: a pattern has one sparsity, single weights stand in for it."""
    return now.mode if now.mode in sweeps.DRAWN else "unstructured"


def setting(now: Settings, data: Data, task: Task) -> None:
    """Show what is pruned alone, and on how many samples."""
    mode = mode_of(now)
    split = "validation" if data.validation is not None else "test"
    whole = len(getattr(data, split))
    with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "Take from each layer", list(sweeps.DRAWN), required=True,
            format_func={"unstructured": "Single weights", "structured": "Channels"}.__getitem__,
            help="Channels are taken from a whole group: layers that shrink together are pruned together.",
            **session.bind("mode", start="default", show=lambda _: mode, then=session.change_mode),
        )  # fmt: skip
        names = list(drawn_criteria_of(mode))
        st.selectbox(
            "Criterion", names, format_func=setting_controls.criterion_name, width=230,
            **session.bind("criterion", start=names, show=lambda name: name if name in names else names[0]),
        )  # fmt: skip
        offered = sorted({n for n in choices.SUBSETS if n and n < whole} | {0}, key=lambda n: n or whole)
        st.selectbox(
            f"{capital(task.units_of_data)} ({split})", offered, width=180,
            format_func=lambda n: f"all {whole:,}" if not n else f"{n:,} of {whole:,}",
            help="Measured in stratified parts: the whole picture comes first, then its intervals shrink.",
            **session.bind("measured_images", start=offered, show=lambda n: n if n in offered else 0),
        )  # fmt: skip
        control("full", disabled=not ROWS["full"].applies(now), help=FULL)
    if now.mode == "nm":
        st.caption("A pattern N:M has one sparsity, so single weights stand in for it here.")


def request_of(now: Settings, loaded: Loaded, data: Data) -> SensitivityRequest:
    """Return what is asked of the core."""
    mode = mode_of(now)
    criterion = now.criterion if now.criterion in drawn_criteria_of(mode) else DEFAULT_CRITERION
    spec = PruneSpec(mode=mode, criterion=criterion, scope=default_scope(mode), seed=now.seed, samples=now.samples)
    split = "validation" if data.validation is not None else "test"
    model, of_data = measuring.lend(now, loaded, data)
    images = 0 if now.measured_images >= len(getattr(data, split)) else now.measured_images
    drop = now.drop if ROWS["full"].applies(now) and not now.full else None
    return SensitivityRequest(model, of_data, spec, split, images, drop=drop, relative=drop is not None)


def _jobs(request: SensitivityRequest) -> list[Job]:
    """Return the jobs that measure the same, whatever loss they allow; the one that does so for this one first."""
    mine, same = key_of("sensitivity", request.to_dict()), key_of("sensitivity", request.whole.to_dict())
    shown = (job for job in board().all() if job.kind == "sensitivity" and board().shows(job))
    found = [job for job in shown if key_of("sensitivity", {**job.request, "drop": None, "relative": False}) == same]
    return sorted(found, key=lambda job: job.key != mine)


def job_of(request: SensitivityRequest) -> Job | None:
    """Return the job under way that measures, be it for another allowed loss, or else the one that did."""
    jobs = _jobs(request)
    mine = next((job for job in jobs if job.key == key_of("sensitivity", request.to_dict())), None)
    return next((job for job in jobs if job.active), mine)


def known_results(request: SensitivityRequest, loaded: Loaded, data: Data) -> Sensitivity | None:
    """Return what is known by now: of the jobs what answers the request, or else what tells most, or else of the store."""
    jobs = _jobs(request)
    known = [job.partial[-1] for job in [job for job in jobs if job.active] or jobs if job.partial]
    if known:
        told = (request.drop, request.relative)
        return max(known, key=lambda found: (found.answers(*told), sum(p.accuracy.n for p in found.points)))  # type: ignore[no-any-return]
    kept = board().store
    if kept is None or not rules.submitted_here(key_of("sensitivity", request.whole.to_dict())):
        return None
    try:
        return stored(request, kept, loaded.model, data)
    except (StoreError, PrunekitError):
        return None


def _start(request: SensitivityRequest, title: str) -> None:
    """Start measuring; a button's callback. Its results are this browser's, whatever loss is allowed later."""
    measuring.ask("sensitivity", request.to_dict(), title)
    rules.remember(key_of("sensitivity", request.whole.to_dict()))


def button(name: str, request: SensitivityRequest, so_far: Sensitivity | None) -> None:
    """Show the button that measures."""
    job = job_of(request)
    busy, done = job is not None and job.active, so_far is not None and so_far.answers(request.drop, request.relative)
    words, icon = ("Measuring …", "hourglass_top") if busy else ("Measured", "check") if done else ("Measure", "speed")
    st.button(
        words, key="measure_sensitivity", type="primary", icon=f":material/{icon}:", disabled=busy or done, on_click=_start,
        args=(request, f"Sensitivity of {model_cache.title_of(name)}, {MODES[request.spec.mode].lower()}"),
    )  # fmt: skip
    if not (busy or done) and so_far is not None:
        st.caption(
            "What is shown was measured as far as another allowed loss needs it: **Measure** goes on where this one is open."
            if so_far.done
            else "What was measured so far is kept: **Measure** goes on from there."
        )


def live(now: Settings, request: SensitivityRequest, task: Task) -> bool:
    """Show progress and the picture so far while it is measured; return whether it is."""
    job = job_of(request)
    if job is None:
        return False
    if job.warning:
        st.warning(show.plain(job.warning), icon=":material/save_as:")

    def draw(job: Job) -> None:
        if job.partial:
            panels(now, job.partial[-1], task, None)

    busy = job.active  # asked once: a job may end while its panel is drawn
    measuring.panel(job.key, draw)
    return busy
