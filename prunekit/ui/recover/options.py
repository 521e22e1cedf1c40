"""The choices of the Recover page: what follows the cut, its plan as a picture, and the buttons that start it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.config.field_table import SCHEDULE, RecoveryFields
from prunekit.config.fields import table
from prunekit.config.recovery import Recovery
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.requests import AccuracyRequest
from prunekit.formatting import percent, plural
from prunekit.plots.learning_curves import schedule_chart
from prunekit.tasks.protocol import Task
from prunekit.training.batchnorm import NO_NORMS, norms_left
from prunekit.training.gradual import planned
from prunekit.ui import routes
from prunekit.ui.components import left_out, setting_controls, show
from prunekit.ui.components.field_controls import control
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

SCHEDULES = SCHEDULE.titles
PLACED = ("epochs", "lr", "rate", "optimizer", "schedule", "steps")
"""What stands in the open, most used first; all else is folded."""
FOLDED = [name for name, row in table(RecoveryFields).items() if row.address and name not in PLACED] + ["seed"]


def what_is_pruned(now: Settings, loaded: Loaded) -> None:
    """Say which setting is recovered, and where to change it."""
    amount = now.pattern if now.mode == "nm" else percent(now.sparsity, 0 if round(100 * now.sparsity, 6) % 1 == 0 else 1)
    counted = setting_controls.COUNTED[now.target if now.mode == "structured" else "weights"]
    words = setting_controls.name_of(now.mode, now.criterion, now.scope)
    if now.overrides:
        words = f"{words.rpartition(', ')[0]}, own shares of {plural(len(now.overrides), 'layer')}"
    in_all = " in all" if now.overrides else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words}**: {amount}" + (" of every block" if now.mode == "nm" else f" of {counted} removed{in_all}") + ".")
        routes.link("prune", "Change what is pruned")
    with show.slot():
        left_out.shown(now, loaded, link=False)


def choices(now: Settings, loaded: Loaded, data: Data) -> None:
    """Show what can follow the cut."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            control("epochs", width=150)
            control("lr", width=150, disabled=now.rate == "rewind")
            control("rate", width=330)
            control("optimizer")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            modes = ["one-shot"] if now.mode == "nm" else list(SCHEDULES)
            fitting = lambda name: name if name in modes else "one-shot"  # noqa: E731
            control("schedule", segmented=True, options=modes, show=fitting, then=_take_schedule)
            if now.schedule != "one-shot" and now.mode != "nm":
                control("steps")
        _more(now, loaded, data)


def _take_schedule(name: str) -> None:
    """Take a schedule; a gradual one needs an epoch for every cut."""
    now = session.settings()
    session.change(schedule=name, epochs=max(now.epochs, now.steps) if name != "one-shot" else now.epochs)


def _more(now: Settings, loaded: Loaded, data: Data) -> None:
    """Show the choices that most people leave alone."""
    with st.expander("More choices", icon=":material/tune:"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        whole = len(data.train) if data.train is not None else 0
        special: dict[str, dict[str, Any]] = {
            "train_images": {
                "label": f"{table(RecoveryFields)['train_images'].label} (0 for all {whole:,})",
                "max_value": max(whole, 1),
                "show": lambda n: min(n, whole),
            },
            "distill": {"slider": True, "width": 260},
            "recalibrate": {} if has_norms(loaded) else {"disabled": True, "help": f"{NO_NORMS[:1].upper()}{NO_NORMS[1:]}."},
        }
        for field in FOLDED:
            applies = field == "seed" or table(RecoveryFields)[field].applies(now)  # pruning has the seed, too
            control(field, **{"disabled": not applies, **special.get(field, {})})


def has_norms(loaded: Loaded) -> bool:
    """Return whether a model has statistics that can be measured again."""
    return bool(norms_left(loaded.model))


def recovery_of(now: Settings, loaded: Loaded, code: str = "p") -> Recovery:
    """Return what follows the cut; what is not there is not recalibrated."""
    whole = now.recovery(code)
    return whole if has_norms(loaded) or (not whole.epochs and code != "p") else replace(whole, recalibrate=False)


def problem(now: Settings, loaded: Loaded) -> str:
    """Return why the choices cannot be carried out, or an empty string."""
    if now.schedule != "one-shot" and now.mode != "nm" and now.epochs < now.steps:
        cuts = plural(now.steps, "cut")
        return f"{SCHEDULES[now.schedule]} fine-tunes after each of {cuts}: set at least {plural(now.steps, 'epoch')}, or fewer cuts."
    if not recovery_of(now, loaded).active:
        return "Nothing follows the cut: set at least one epoch" + (", or recalibrate BatchNorm." if has_norms(loaded) else ".")
    return ""


def plan(now: Settings, loaded: Loaded, data: Data, task: Task) -> None:
    """Draw the schedule against epochs before anything is run."""
    if not now.epochs or data.train is None or problem(now, loaded):
        return
    images = min(now.train_images, len(data.train)) if now.train_images else len(data.train)
    try:
        moments = planned(loaded.model, now.spec(loaded.every), recovery_of(now, loaded), images)
    except PrunekitError as error:
        st.warning(show.said(error), icon=":material/block:")
        return
    recovery = now.recovery()
    frame = pd.DataFrame([asdict(moment) for moment in moments])
    cuts = [percent(share, 0) for share in dict.fromkeys(frame["sparsity"])]
    words = f"{plural(recovery.steps, 'cut')} to {', '.join(cuts)}" if len(cuts) > 1 else f"one cut to {cuts[0]}"
    peak = float(frame["lr"].max())
    note = f"The plan: {words} over {plural(recovery.epochs, 'epoch')} of {task.count(images)}; the learning rate peaks at {peak:.3g}."
    with st.expander("The plan: sparsity and learning rate against epochs", icon=":material/timeline:", expanded=len(cuts) > 1):
        show.chart(schedule_chart(frame, dark=show.dark()), "schedule", note)


def request_of(now: Settings, loaded: Loaded, data: Data, recovery: Recovery) -> AccuracyRequest:
    """Return what is asked of the core: stages are judged by validation samples, where there are some."""
    model, of_data = measuring.lend(now, loaded, data)
    split = "validation" if data.validation is not None else "test"
    return AccuracyRequest(model, of_data, now.spec(loaded.every), recovery, split)


def start(request: AccuracyRequest, title: str) -> None:
    """Start a recovery; a button's callback."""
    job = board().get(key_of("recover", request.to_dict()))
    if job is not None and not job.active:
        board().drop(job.key)
    measuring.ask("recover", request.to_dict(), title)


def buttons(now: Settings, loaded: Loaded, data: Data, task: Task, problem: str) -> AccuracyRequest | None:
    """Show the two buttons, and return the request whose results are shown."""
    whole = recovery_of(now, loaded)
    alone = Recovery(recalibrate=True, augment=now.augment, seed=now.seed)
    normed = has_norms(loaded)
    shown = request_of(now, loaded, data, whole) if not problem else None
    quick = request_of(now, loaded, data, alone) if normed else None
    with st.container(horizontal=True, vertical_alignment="center"):
        busy = shown is not None and _active(shown)
        words = f"Prune and {'fine-tune' if whole.epochs else 'recalibrate'}" if shown is not None else "Prune and fine-tune"
        st.button(
            "Under way …" if busy else words, key="recover_start", type="primary", icon=":material/healing:",
            disabled=shown is None or busy,
            on_click=start, args=(shown, f"{words} {model_cache.title_of(loaded.source.name)}"),
        )  # fmt: skip
        st.button(
            "Only recalibrate BatchNorm", key="recalibrate_start", icon=":material/tune:", disabled=quick is None or _active(quick),
            on_click=start, args=(quick, f"Recalibrate {model_cache.title_of(loaded.source.name)}"),
            help=f"One click: before and after, on a few seconds of training {task.units_of_data}." if normed
            else "This model has no BatchNorm.",
        )  # fmt: skip
    if not normed:
        st.caption("This model has no BatchNorm, so there is nothing to recalibrate: what comes back comes from fine-tuning.")
    if problem:
        st.caption(f":orange[{problem}]")
    return _latest(shown, quick)


def _active(request: AccuracyRequest) -> bool:
    """Return whether a recovery is under way."""
    job = board().get(key_of("recover", request.to_dict()))
    return job is not None and job.active


def _latest(*requests: AccuracyRequest | None) -> AccuracyRequest | None:
    """Return the request that was asked for last, or the first that can be asked for."""
    jobs = [(board().get(key_of("recover", request.to_dict())), request) for request in requests if request is not None]
    known = [(job.number, request) for job, request in jobs if job is not None]
    if known:
        return max(known, key=lambda pair: pair[0])[1]
    return next((request for request in requests if request is not None), None)
