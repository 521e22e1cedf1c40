"""What came back: learning curves while it runs, every stage measured, and the model in int8."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from itertools import pairwise
from typing import Any

import pandas as pd
import streamlit as st

from prunekit import evaluation
from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.experiments.home import weights_folder
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.quantised_run import Quantised
from prunekit.experiments.recovery_run import TITLES, Stage
from prunekit.experiments.requests import AccuracyRequest
from prunekit.formatting import by_times, size
from prunekit.plots.learning_curves import learning_curves, recovery_steps
from prunekit.tasks.metrics import HIGHER
from prunekit.tasks.protocol import Task
from prunekit.tasks.text_inputs import TextInputs
from prunekit.tasks.wording import change_text
from prunekit.training.batchnorm import NO_NORMS
from prunekit.training.result import Epoch
from prunekit.ui.components import show
from prunekit.ui.recover import options
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded

EPOCHS = ["epoch", "loss", "train_quality", "value", "low", "high", "sparsity", "lr"]


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
        _quantise(loaded.source.name, stages, request, task)


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


def _quantise(name: str, stages: list[Stage], request: AccuracyRequest, task: Task) -> None:
    """Offer to quantise what was recovered, and show every stage in one table."""
    units = task.units_of_data
    text = isinstance(task, TextInputs)
    how = "its linear layers, their inputs as they come" if text else f"calibrated on training {units}"
    show.section("And in int8?", f"Quantised for ONNX Runtime, {how}; {task.headline.phrase} measured in that runtime.")
    key = key_of("quantise", request.to_dict())
    job, found = board().get(key), measuring.finished(key)
    st.button(
        "Quantise to int8", key="quantise_start", icon=":material/compress:",
        disabled=job is not None and (job.active or found is not None), on_click=measuring.ask,
        args=("quantise", request.to_dict(), f"Quantise {model_cache.title_of(name)}"),
    )  # fmt: skip
    measuring.panel(key)
    if found is None:
        return
    st.dataframe(_stage_table(stages, found), hide_index=True, width="stretch")
    difference = evaluation.compare(found.before_test, found.test)
    st.caption(
        f"int8 against the same model in float32, on {found.test.n:,} test {units}: {difference.sentence()}; the file is "
        f"{by_times(found.before_bytes, found.bytes, 'smaller', 'larger', 'as large')}."
    )
    file_name = f"{request.model.name.rpartition('/')[2].replace(':', '-')}-int8.onnx"
    st.download_button(
        "Download the int8 model (ONNX)", found.file.read_bytes, file_name=file_name, icon=":material/download:", on_click="ignore"
    )


def _stage_table(stages: list[Stage], found: Quantised) -> pd.DataFrame:
    """Return every stage, the quantised model last, as people read it."""

    def words(accuracy: evaluation.Evaluation | None) -> str:
        return "–" if accuracy is None else show.plus_minus(accuracy.value, accuracy.low, accuracy.high, accuracy.metric)

    rows = [(TITLES[s.name], words(s.accuracy), words(s.test), "–", s.run[:12]) for s in stages]
    rows[-1] = (*rows[-1][:3], size(found.before_bytes), rows[-1][4])
    rows.append(("Quantised to int8", words(found.accuracy), words(found.test), size(found.bytes), found.run[:12]))
    return pd.DataFrame(
        rows,
        columns=["step", f"{found.accuracy.metric.phrase} (n = {found.accuracy.n:,})", f"test (n = {found.test.n:,})", "ONNX file", "run"],
    )
