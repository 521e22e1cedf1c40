"""The Latency page: dense, masked and smaller in turns, in a child process."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
import streamlit as st

from prunekit import measure, pruning
from prunekit.catalog import Data
from prunekit.choices import NEEDS_DATA
from prunekit.criteria import CRITERIA
from prunekit.jobs import Job, board
from prunekit.measure import Candidate, CandidateLatency, LatencyReport
from prunekit.plots import KEPT, ratios, samples, theme
from prunekit.plots.text import percent, plural
from prunekit.spec import PruneSpec
from prunekit.ui import controls, measuring, show, state, store
from prunekit.ui.fitting import nearest
from prunekit.ui.settings import Curve, Settings
from prunekit.ui.store import Loaded

MASKED = "#e69f00"
NAMES = ("dense", "masked", "smaller")


def setting() -> None:
    """Show what is timed and how."""
    now = state.settings()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            controls.criterion(now.mode)
            controls.scope(now.mode)
            st.number_input("Batch", min_value=1, max_value=256, step=1, width=100, help="Samples at a time.", **state.bind("batch"))
            cores = os.cpu_count() or 1
            st.number_input(
                "Threads", min_value=1, max_value=cores, step=1, width=100, help=f"This machine has {plural(cores, 'core')}.",
                **state.bind("threads", show=lambda n: min(n, cores)),
            )  # fmt: skip
            st.number_input(
                "Time budget, s",
                min_value=2,
                max_value=120,
                step=5,
                width=120,
                help="It stops earlier once every ratio is known to half a percent.",
                **state.bind("budget"),
            )
        if now.mode == "nm":
            controls.pattern()
            controls.slider("the channels")
        else:
            controls.slider("the weights, or of the channels")
        _unlike(now)


def _unlike(now: Settings) -> None:
    """Say which candidate is made in another way, because the choice does not go with its mode."""
    for name, curve in curves(now).items():
        if curve.criterion != now.criterion:
            st.caption(
                f"The {name} model is pruned by {CRITERIA[curve.criterion].title}: {CRITERIA[now.criterion].title} does not score "
                f"{'channels' if curve.mode == 'structured' else 'single weights'}."
            )


def curves(now: Settings) -> dict[str, Curve]:
    """Return mode, criterion and scope of each pruned candidate: zeroed weights, and removed channels."""
    modes = {"masked": "nm" if now.mode == "nm" else "unstructured", "smaller": "structured"}
    return {name: nearest(Curve(mode, now.criterion, now.scope, chosen=now.mode == mode)) for name, mode in modes.items()}


def specs(now: Settings, loaded: Loaded) -> dict[str, PruneSpec]:
    """Return the setting of each pruned candidate."""
    return {name: now.spec(loaded.layers, curve) for name, curve in curves(now).items()}


def needs_data(now: Settings) -> bool:
    """Return whether a candidate is made by looking at images."""
    return any(curve.criterion in NEEDS_DATA for curve in curves(now).values())


def key_of(now: Settings, loaded: Loaded) -> str:
    """Return the key of a measurement; the machine is this one."""
    threads = min(now.threads, os.cpu_count() or 1)
    looks = measuring.of_data(now, loaded) if needs_data(now) else (loaded.source,)
    return measuring.key_of("latency", *looks, *specs(now, loaded).values(), now.batch, threads, now.budget)


def start(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Start a measurement, again if there is one already; a button's callback."""
    key, wanted = key_of(now, loaded), specs(now, loaded)
    dense = store.counts_of(loaded.source).macs
    board().drop(key)

    def work(job: Job) -> LatencyReport:
        candidates = [Candidate("dense", loaded.model, dense)]
        for name, spec in wanted.items():
            job.progress(0.01, f"making the {name} model")
            result = pruning.prune(loaded.model, spec, data, input_shape=loaded.input_shape)
            candidates.append(Candidate(name, result.model, result.after.effective_macs))
        return measure.latency(
            candidates, input_shape=loaded.input_shape, batch=now.batch, threads=min(now.threads, os.cpu_count() or 1),
            budget_s=float(now.budget), progress=job.progress, cancel=job.cancel,
        )  # fmt: skip

    measuring.start(key, f"Latency of {loaded.source.name} at {percent(now.sparsity)}", work)


def colours() -> dict[str, str]:
    """Return the colour of each candidate."""
    return {"dense": theme.dense(show.dark()), "masked": MASKED, "smaller": KEPT}


def button(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Show the button that starts a measurement; data are needed by criteria that look at them."""
    job = board().get(key_of(now, loaded))
    done, busy = job is not None and job.state == "done", job is not None and job.active
    st.button(
        "Measure again" if done else "Measure latency here", key="measure_latency", type="secondary" if done else "primary",
        disabled=busy or (data is None and needs_data(now)),
        icon=":material/timer:", on_click=start, args=(now, loaded, data),
    )  # fmt: skip


def speed(candidate: CandidateLatency) -> tuple[float, float, float]:
    """Return how many times faster a candidate is than dense, with its interval."""
    r = candidate.ratio
    return 1 / r.value, 1 / r.high, 1 / r.low


def answer(candidate: CandidateLatency, what: str) -> str:
    """Say in one sentence whether a candidate is faster."""
    value, low, high = speed(candidate)
    span = f"95 % interval {low:.2f} to {high:.2f}"
    promise = f"; its MACs alone would promise {1 / candidate.macs_ratio:.2f}×" if candidate.macs_ratio else ""
    if not candidate.ratio.different:
        return f"**{what}: no significant difference** ({value:.2f}×, {span}){promise}."
    if value > 1:
        return f"**{what}: {value:.2f}× faster** ({span}){promise}."
    return f"**{what}: {1 / value:.2f}× slower** (speed {value:.2f}×, {span}){promise}."


def numbers(report: LatencyReport) -> None:
    """Show the medians as big numbers, dense first."""
    for column, candidate in zip(st.columns(len(report.candidates)), report.candidates, strict=True):
        with column:
            value, low, high = speed(candidate)
            below = "the baseline" if candidate.name == "dense" else f"{value:.2f}× ({low:.2f} to {high:.2f})"
            show.tile(
                candidate.name.capitalize(),
                f"{candidate.median_ms:.3g} ms",
                "measured",
                below,
                f"Quartiles {candidate.q1_ms:.3g} to {candidate.q3_ms:.3g} ms.",
            )


def results(now: Settings, report: LatencyReport) -> None:
    """Show the answer, the samples and the ratios."""
    numbers(report)
    what = {
        "masked": f"Zeroing weights by {now.pattern}" if now.mode == "nm" else f"Zeroing {percent(now.sparsity, 0)} of the weights",
        "smaller": f"Removing {percent(now.sparsity, 0)} of {controls.COUNTED[now.target]}",
    }
    st.markdown("  \n".join(answer(c, what[c.name]) for c in report.candidates if c.name in what))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show.section("Every sample, on one scale")
        show.chart(samples(report.to_frame(), colours=colours(), dark=show.dark()), "samples", samples_caption(report))
    with right:
        show.section("Measured beside theory")
        show.chart(ratios(ratio_frame(report), colours=colours(), dark=show.dark()), "ratios", ratios_caption(report))


def ratio_frame(report: LatencyReport) -> pd.DataFrame:
    """Return the speed-ups, measured and from MACs."""
    rows: list[tuple[Any, ...]] = []
    for c in report.candidates[1:]:
        rows.append((c.name, *speed(c), 1 / c.macs_ratio if c.macs_ratio else float("nan")))
    return pd.DataFrame(rows, columns=["candidate", "value", "low", "high", "macs"])


def samples_caption(report: LatencyReport) -> str:
    """Say how it was measured."""
    dense = report.candidates[0]
    busy = (
        " Something else was busy on this machine: samples scatter, but the turns keep the ratios fair."
        if dense.q3_ms > 1.3 * dense.q1_ms
        else ""
    )
    return (
        f"{plural(report.rounds, 'round')} in which every candidate had its turn, in shuffled order, in a process "
        f"of its own ({report.runtime}, "
        f"{plural(report.threads, 'thread')}, batch {report.batch}); stopped at: {report.stopped}. The middle "
        "half of the dense samples (the box) lies "
        f"between {dense.q1_ms:.3g} and {dense.q3_ms:.3g} ms.{busy}"
    )


def ratios_caption(report: LatencyReport) -> str:
    """Say how far theory is from what was measured."""
    smaller = next((c for c in report.candidates if c.name == "smaller"), None)
    if smaller is None or not smaller.macs_ratio:
        return "Filled: measured, with its 95 % interval. Hollow: the ratio of MACs, which is theory."
    promised, value = 1 / smaller.macs_ratio, speed(smaller)[0]
    how = "less than" if value < promised * 0.95 else "more than" if value > promised * 1.05 else "about"
    return (
        f"The smaller model has {promised:.2f}× fewer MACs and runs {value:.2f}× as fast: {how} what MACs promise. Memory traffic, kernel "
        "launches and odd channel counts do not shrink with MACs. For masked weights the hollow mark counts "
        "non-zero weights only, which this runtime cannot skip."
    )
