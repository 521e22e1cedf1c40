"""Quantising what was recovered: the button, and prune, fine-tune and quantise in one table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from prunekit import evaluation
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.quantised_run import Quantised
from prunekit.experiments.recovery_run import TITLES, Stage
from prunekit.experiments.requests import AccuracyRequest
from prunekit.formatting import by_times, size
from prunekit.tasks.protocol import Task
from prunekit.tasks.text_inputs import TextInputs
from prunekit.ui.components import show
from prunekit.ui.shared import measuring, model_cache


def offer(name: str, stages: list[Stage], request: AccuracyRequest, task: Task) -> None:
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
    st.dataframe(stage_table(stages, found), hide_index=True, width="stretch")
    difference = evaluation.compare(found.before_test, found.test)
    st.caption(
        f"int8 against the same model in float32, on {found.test.n:,} test {units}: {difference.sentence()}; the file is "
        f"{by_times(found.before_bytes, found.bytes, 'smaller', 'larger', 'as large')}."
    )
    file_name = f"{request.model.name.rpartition('/')[2].replace(':', '-')}-int8.onnx"
    st.download_button(
        "Download the int8 model (ONNX)", found.file.read_bytes, file_name=file_name, icon=":material/download:", on_click="ignore"
    )


def stage_table(stages: list[Stage], found: Quantised) -> pd.DataFrame:
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
