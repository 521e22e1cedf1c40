"""The Latency page: why it is not faster, and where sparse kernels pay on this machine."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from torch import nn

from prunekit import pruning
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import PruningError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.latency_run import break_even_here, kept
from prunekit.formatting import percent, plural, times
from prunekit.latency import diagnosis
from prunekit.latency.diagnosis.breakeven import BreakEven, Grid, grid_of
from prunekit.latency.worker_payload import varied
from prunekit.models.cost import count
from prunekit.models.running import task_of
from prunekit.plots.breakeven import break_even_caption, break_even_lines, break_even_map
from prunekit.plots.latency import time_by_layer, time_caption
from prunekit.runtimes.backends import RUNTIMES
from prunekit.ui.components import show
from prunekit.ui.latency import setup
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings

NAMES = ("smaller", "masked")
WHOSE, WHERE = "why_whose", "why_runtime"
MULTIPLE = 8


def diagnosis_settings(now: Settings) -> tuple[str, str, int, int]:
    """Return whose time is explained, in which runtime, at which batch and with how many threads."""
    runtimes = runtimes_of(now)
    whose, where = st.session_state.get(WHOSE, NAMES[0]), st.session_state.get(WHERE, runtimes[0])
    return whose, where if where in runtimes else runtimes[0], now.batch[0], setup.threads_of(now)[0]


def runtimes_of(now: Settings) -> list[str]:
    """Return the runtimes in which single layers can be timed; those that were chosen first."""
    return sorted(diagnosis.RUNTIMES, key=lambda name: name not in now.runtimes)


def why(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Offer to find out why a model is not faster, and show the answer."""
    show.section(
        "Why is it not faster?", "Every layer is timed by itself, before and after, in turns; the measured cause is said in words."
    )
    _, where, batch, threads = diagnosis_settings(now)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        said = {"smaller": "The smaller model", "masked": "The masked model"}
        st.segmented_control("Whose time?", NAMES, required=True, default=NAMES[0], format_func=said.__getitem__, key=WHOSE)
        st.selectbox("Runtime", runtimes_of(now), format_func=lambda name: RUNTIMES[name].title, key=WHERE, width=220)
        key = _key(now, loaded)
        job = board().get(key)
        st.button(
            "Find out again" if job is not None and job.state == "done" else "Find out why", key="why_start", icon=":material/help:",
            disabled=job is not None and job.active, on_click=_start, args=(now, loaded, data),
        )  # fmt: skip
    measuring.panel(key)
    found = measuring.finished(key)
    with show.slot():
        if found is not None:
            _answer(found)
        elif job is None or not job.active:
            st.caption(f"It takes about {now.budget} s, with batch {batch} and {plural(threads, 'thread')}, in {RUNTIMES[where].title}.")
    _break_even(now, loaded, threads)


def _key(now: Settings, loaded: Loaded) -> str:
    """Return the key of an answer."""
    how = (*diagnosis_settings(now), now.budget)
    return measuring.key_of("why", *measuring.of_data(now, loaded), setup.specs(now, loaded)[diagnosis_settings(now)[0]], *how)


def _start(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Start finding out; a button's callback."""
    (whose, where, batch, threads), key = diagnosis_settings(now), _key(now, loaded)
    spec = setup.specs(now, loaded)[whose]
    board().drop(key)

    def work(job: Job) -> diagnosis.Diagnosis:
        job.progress(0.01, "making the model")
        result = pruning.prune(loaded.model, spec, data, input_shape=loaded.input_shape)
        narrower = spec.mode == "structured" and result.after.macs < result.before.macs
        rounded = _rounded(loaded, spec, data, result.after.macs) if narrower else None
        shape = varied(loaded.input_shape, data, task_of(loaded.model, data))
        return diagnosis.diagnose(
            loaded.model, result.model, input_shape=shape, rounded=rounded, multiple=MULTIPLE, break_even=kept(threads),
            batch=batch, threads=threads, runtime=where, budget_s=float(now.budget), progress=job.progress,
        )  # fmt: skip

    measuring.start(key, f"Why {model_cache.title_of(loaded.source.name)} at {percent(now.sparsity)} is not faster", work, alone=True)


def _rounded(loaded: Loaded, spec: PruneSpec, data: Data | None, macs: float) -> nn.Module | None:
    """Return the same model at channel counts that are multiples of eight, with no fewer MACs; None where there is none."""
    if spec.round_to % MULTIPLE == 0:
        return None
    for share in (1.0, 0.9, 0.8, 0.65, 0.5):
        wanted = replace(spec, round_to=MULTIPLE, sparsity=round(share * float(spec.sparsity or 0.0), 6))
        try:
            model = pruning.prune(loaded.model, wanted, data, input_shape=loaded.input_shape).model
        except PruningError:  # shares of single layers leave no such total
            continue
        if count(model, loaded.input_shape).macs >= macs:
            return model
    return None


def _answer(found: diagnosis.Diagnosis) -> None:
    """Show the verdict, the causes and the times by layer."""
    st.markdown(f"**{show.plain(found.verdict)}** {show.tag('measured')}")
    for cause in found.causes:
        share = "" if cause.share_of_time is None else f" · {percent(cause.share_of_time, 0)} of the time"
        with st.container(border=True):
            st.markdown(f"**{show.plain(cause.title)}**{share}  \n{show.plain(cause.sentence)}  \n:gray[{show.plain(cause.advice)}]")
    if not found.causes:
        st.caption("Nothing stands in the way: the time fell about as far as the MACs, or the measurement is too noisy to say more.")
    frame = found.evidence.to_frame()
    if not frame.empty:
        marked = {layer: cause.title for cause in reversed(found.causes) for layer in cause.layers}
        show.chart(time_by_layer(frame, marked=marked, dark=show.dark()), "time_by_layer", time_caption(frame))


def _break_even(now: Settings, loaded: Loaded, threads: int) -> None:
    """Show where sparse kernels pay, for usual layers or those of the model in use, measured once and kept."""
    show.section("From which sparsity on does a sparse kernel pay, here?")
    own = setup.own_length(loaded)
    mine = grid_of(loaded.model, loaded.input_shape, now.batch, now.length, own)
    whose = {"usual": "Usual layers, beside torch", "mine": "The layers of this model, beside ONNX Runtime"}
    chosen = "usual"
    if mine is not None:
        chosen = st.segmented_control("Layers", list(whose), required=True, default="mine" if own else "usual",
                                      format_func=whose.__getitem__, key="break_even_whose")  # fmt: skip
    grid = mine if chosen == "mine" else None
    key, table = measuring.key_of("break-even", threads, grid), kept(threads, grid)
    job = board().get(key)
    if table is not None:
        crossings = table.crossings()
        said = break_even_caption(crossings) + (f" {_at_once(table)}" if grid is not None else "")
        show.chart(break_even_lines(crossings, dark=show.dark()), "break_even_lines", said)
        with st.expander("Every measured point", icon=":material/grid_on:"):
            beside = "dense ones" if table.against == "torch" else "dense ones in ONNX Runtime"
            words = f"Sparse linear layers against {beside} ({table.machine}, {plural(table.threads, 'thread')})."
            words += " In brackets: no certain difference."
            show.chart(break_even_map(table.to_frame(), dark=show.dark()), "break_even_map", words)
    else:
        show.empty("Not measured on this machine yet. It takes about a minute, once: density, layer size and batch in turns.", "grid_on")
    st.button(
        "Measure the break-even again" if table is not None else "Measure the break-even", key="break_even_start",
        icon=":material/grid_on:",
        disabled=job is not None and job.active, on_click=_start_break_even, args=(key, threads, grid),
    )  # fmt: skip
    measuring.panel(key)


def _at_once(table: BreakEven) -> str:
    """Say how fast a model's own layers run sparse at 90 and 95 % of zeros, beside dense ones."""
    frame = table.to_frame()
    said = []
    for zeros in (0.9, 0.95):
        speeds = 1 / frame.loc[(frame["density"] - (1 - zeros)).abs() < 1e-9, "ratio"]
        if len(speeds):
            said.append(f"at {percent(zeros, 0)} zeros {times(float(speeds.min()))} to {times(float(speeds.max()))} as fast")
    rows = " or ".join(f"{n:,}" for n in sorted(frame["batch"].unique()))
    return f"Beside ONNX Runtime they are {', '.join(said)}, given {rows} row{'' if rows == '1' else 's'} at a time (samples times tokens)."


def _start_break_even(key: str, threads: int, grid: Grid | None) -> None:
    """Measure the break-even, again if it is known; a button's callback."""
    board().drop(key)
    measuring.start(
        key, "Break-even of sparse kernels", alone=True,
        work=lambda job: break_even_here(threads, grid, again=True, progress=job.progress),
    )  # fmt: skip
