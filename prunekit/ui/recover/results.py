"""What came back: the recovery as a job, its learning curves while it runs, and every stage measured."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from itertools import pairwise
from typing import Any

import pandas as pd
import streamlit as st

from prunekit import evaluation
from prunekit.config.recovery import Recovery
from prunekit.data.dataset import Data
from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.experiments.home import weights_folder
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.recovery_run import TITLES, Stage
from prunekit.experiments.requests import AccuracyRequest
from prunekit.plots.learning_curves import learning_curves, recovery_steps
from prunekit.tasks.metrics import HIGHER
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import change_text
from prunekit.training.batchnorm import NO_NORMS
from prunekit.training.result import Epoch
from prunekit.ui.components import show
from prunekit.ui.recover import options, quantising
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings

EPOCHS = ["epoch", "loss", "train_quality", "value", "low", "high", "sparsity", "lr"]


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
    whole = options.recovery_of(now, loaded)
    alone = Recovery(recalibrate=True, augment=now.augment, seed=now.seed)
    has_norms = options.has_norms(loaded)
    shown = request_of(now, loaded, data, whole) if not problem else None
    quick = request_of(now, loaded, data, alone) if has_norms else None
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
            help=f"One click: before and after, on a few seconds of training {task.units_of_data}." if has_norms
            else "This model has no BatchNorm.",
        )  # fmt: skip
    if not has_norms:
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


def results(loaded: Loaded, request: AccuracyRequest, task: Task) -> None:
    """Show what came back, live while it runs."""
    key = key_of("recover", request.to_dict())
    job = board().get(key)
    if job is None:
        show.empty(
            "Nothing has been recovered with this setting since the server started. Press a button above: it goes on when you close this "
            "page, and what was recovered before is read at once.",
            "healing",
        )
        return
    busy = job.active  # asked once: a job may end while its panel is drawn
    measuring.panel(key, partial(_live, task))
    if job.warning:
        st.warning(show.plain(job.warning), icon=":material/save_as:")
    if not busy:
        _draw(loaded, job, request, task)
    elif not job.active:
        st.rerun()  # it ended meanwhile: its results belong on the page at once


def _live(task: Task, job: Job) -> None:
    """Draw what is there so far; inside the panel's fragment."""
    if job.elsewhere:
        st.caption("Another server on the same store does this; its results appear here when it is done.")
        return
    _stages(_split(job)[0], task)
    _curves(job, job.request, task)


def _draw(loaded: Loaded, job: Job, request: AccuracyRequest, task: Task) -> None:
    """Draw the results of a job that is over."""
    stages, epochs = _split(job)
    if not stages:
        return
    show.section("What does each step bring back?")
    _verdict(stages, task)
    _stages(stages, task)
    _table(loaded, stages, task)
    if epochs:
        show.section("How did it learn?")
        _curves(job, job.request, task)
    if job.state == "done":
        _take(stages[-1], request)
        quantising.offer(loaded.source.name, stages, request, task)


def _split(job: Job) -> tuple[list[Stage], list[Epoch]]:
    """Return stages and epochs of a job so far."""
    items: list[Any] = list(job.partial)
    return [item for item in items if isinstance(item, Stage)], [item for item in items if isinstance(item, Epoch)]


def _verdict(stages: list[Stage], task: Task) -> None:
    """Say how much of the loss remains after recovery, on the samples that decide."""
    first, last = stages[0], stages[-1]
    if first is last:
        return
    dense, pruned, found = first.last_word, stages[1].last_word, last.last_word
    named = "" if found.is_accuracy else f"{found.metric.phrase} "
    after = "" if last is stages[1] else f" Pruning alone left {pruned.text()}: {evaluation.compare(dense, pruned).sentence()}."
    st.markdown(
        f"**{named}{found.text()}** {show.tag('measured')} on {found.n:,} test {task.units_of_data}, against {dense.text()} dense: "
        f"**{evaluation.compare(dense, found).sentence()}**.{after}"
    )
    with show.slot():
        show.doubts([chance_sentence(dense, found)])
    brought = evaluation.compare(pruned, found)
    if brought.significant and found.metric.is_better(pruned.value, found.value):
        st.warning(
            f"Recovery made it worse than pruning alone ({show.plain(brought.sentence())}): its steps are too large, or too few to pay "
            "off. Lower the learning rate, or train on more samples.",
            icon=":material/trending_down:",
        )


def stage_frame(stages: list[Stage]) -> pd.DataFrame:
    """Return stages as rows for the picture: all on the test samples."""
    rows = [(TITLES[s.name], s.last_word.value, s.last_word.low, s.last_word.high, s.last_word.n) for s in stages]
    return pd.DataFrame(rows, columns=["step", "value", "low", "high", "n"])


def _stages(stages: list[Stage], task: Task) -> None:
    """Draw quality after each step."""
    if not stages:
        return
    frame = stage_frame(stages)
    dense = stages[0].last_word
    changes = [(evaluation.compare(a.last_word, b.last_word).value, TITLES[b.name]) for a, b in pairwise(stages[1:])]
    most = (max if dense.metric.better == HIGHER else min)(changes, default=None)
    best = "" if most is None else f" {most[1]}: {change_text(dense.metric, most[0])}."
    show.chart(
        recovery_steps(frame, metric=dense.metric, dark=show.dark()), "recovery_steps",
        f"{dense.metric.title} after each step with its 95\u202f% interval, on the same {dense.n:,} test {task.units_of_data}; dashed: the "
        f"dense model.{best}",
    )  # fmt: skip


def _table(loaded: Loaded, stages: list[Stage], task: Task) -> None:
    """Show each step on the test samples and on those that choose, what it brought, and where recalibration brought nothing, why."""
    rows = []
    for place, stage in enumerate(stages):
        found, chosen = stage.last_word, "–" if stage.test is None else _with_interval(stage.accuracy)
        change = "–" if not place else evaluation.compare(stages[place - 1].last_word, found).sentence()
        rows.append((TITLES[stage.name], _with_interval(found), change, chosen))
    units = task.units_of_data
    names = ["step", f"on test {units}", "against the step before", f"on the {units} that choose the epoch"]
    frame = pd.DataFrame(rows, columns=names).set_index("step")
    st.table(frame if stages[0].test is not None else frame.drop(columns=names[-1]))
    said = [f"{stage.note}." for stage in stages if stage.note]
    said += [f"No step recalibrates: {NO_NORMS}."] if not options.has_norms(loaded) else []
    for sentence in said:
        st.caption(show.plain(sentence))


def _with_interval(found: Evaluation) -> str:
    """Return a quality with its interval."""
    return show.plus_minus(found.value, found.low, found.high, found.metric)


def _curves(job: Job, request: dict[str, Any], task: Task) -> None:
    """Draw the learning curves."""
    stages, epochs = _split(job)
    if not epochs:
        return
    frame = epoch_frame(epochs)
    dense = next((s.accuracy.value for s in stages if s.name == "dense"), None)
    best = _best(epochs) if job.state == "done" else None
    last = epochs[-1]
    note = f"Epoch {last.number}: training loss {last.loss:.3f}"
    note += f", validation {last.validation.metric.phrase} {last.validation.text()}." if last.validation is not None else "."
    if best is not None:
        note += f" Kept: epoch {best}, the best on validation." if last.validation is not None else " Kept: the last epoch."
    total = int((request.get("recovery") or {}).get("epochs", 0))
    metric = task.headline if last.validation is None else last.validation.metric
    fig = learning_curves(frame, dense=dense, best=best, epochs=total, metric=metric, units=task.units_of_data, dark=show.dark())
    show.chart(fig, "learning", note)


def _best(epochs: list[Epoch]) -> int:
    """Return the epoch that is kept: of those after the last cut the best on validation, of equal ones the later."""
    last = [epoch for epoch in epochs if epoch.sparsity == epochs[-1].sparsity]
    seen = [(0.0 if e.validation is None else -e.validation.metric.loss(0.0, e.validation.value), e.number) for e in last]
    return max(seen)[1]


def epoch_frame(epochs: list[Epoch]) -> pd.DataFrame:
    """Return epochs as rows."""
    rows = []
    for e in epochs:
        seen = (e.validation.value, e.validation.low, e.validation.high) if e.validation is not None else (None, None, None)
        rows.append((e.number, e.loss, e.train_quality, *seen, e.sparsity, e.lr))
    return pd.DataFrame(rows, columns=EPOCHS).astype({"value": float, "low": float, "high": float})


def _take(stage: Stage, request: AccuracyRequest) -> None:
    """Offer the recovered model and where it is kept."""
    folder = weights_folder(stage.run)
    if not folder.is_dir():
        return
    name = f"{request.model.name.rpartition('/')[2].replace(':', '-')}-recovered"

    def archive() -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for path in sorted(folder.iterdir()):
                file.write(path, f"{name}/{path.name}")
        return buffer.getvalue()

    st.download_button(
        "Download the recovered model", data=archive, file_name=f"{name}.zip", mime="application/zip", icon=":material/download:",
        on_click="ignore", help="model.safetensors and recipe.yaml; `prunekit.load_model(folder)` opens it again.",
    )  # fmt: skip
