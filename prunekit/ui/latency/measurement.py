"""The measurement of the Latency page: what was measured before, the button, and the job."""

from __future__ import annotations

import streamlit as st

from prunekit import evaluation, latency, pruning
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.sizes import Sizes
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import weights_folder
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.latency_report import LatencyMeasurement, put_report, report_of
from prunekit.experiments.latency_run import Timed, keep_timed
from prunekit.experiments.new_run import dense_run
from prunekit.formatting import percent
from prunekit.latency.report import Candidate
from prunekit.models.cost import count
from prunekit.models.load import load_model
from prunekit.runtimes.backends import RUNTIMES
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.latency.setup import kept_runs, needs_data, own_length, specs, threads_of
from prunekit.ui.shared import baseline, measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings


def key_of(now: Settings, loaded: Loaded) -> str:
    """Return the key of a measurement; the machine is this one."""
    also = tuple(key for key in now.also if key in kept_runs(now, loaded))
    how = (now.runtimes, now.batch, now.length, threads_of(now), now.device, now.budget, also)
    return measuring.key_of("latency", *measuring.of_data(now, loaded), *specs(now, loaded).values(), *how)


def known(now: Settings, loaded: Loaded) -> LatencyMeasurement | None:
    """Return what was measured with this setting, by this server or on this machine before; in a class only by this browser."""
    key, store = key_of(now, loaded), board().store
    found: LatencyMeasurement | None = measuring.finished(key)
    if found is not None or store is None or not rules.submitted_here(key):
        return found
    dense = dense_run(measuring.model_of(loaded), measuring.weights_of(now, loaded, tuple(loaded.input_shape))).id
    try:
        return report_of(dense, key, now.runtimes, store)
    except PrunekitError:
        return None


def start(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Start a measurement, again if there is one already; a button's callback."""
    key, wanted = key_of(now, loaded), specs(now, loaded)
    dense, runs = model_cache.counts_of(loaded.source).macs, kept_runs(now, loaded)
    judged = None if data is None else data.test.subset(now.measured_images) if 0 < now.measured_images < len(data.test) else data.test
    model_id, data_id = measuring.model_of(loaded), None if data is None else measuring.names(now, loaded)[1]
    board().drop(key)
    if judged is not None:
        rules.remember(baseline.key(now, loaded))  # the dense model's quality is kept, and this browser's

    def work(job: Job) -> LatencyMeasurement:
        candidates, sizes = [Candidate("dense", loaded.model, dense)], dict[str, Sizes]()
        made = dict[str, Timed]()
        for name, spec in wanted.items():
            job.progress(0.01, f"making the {name} model")
            result = pruning.prune(loaded.model, spec, data, input_shape=loaded.input_shape)
            candidates.append(Candidate(name, result.model, result.after.effective_macs))
            assessed = evaluation.assess(loaded.model, result, progress=job.progress)
            sizes |= {"dense": assessed.before.sizes, name: assessed.after.sizes}
            made[name] = Timed(result, assessed)
        for number, run in enumerate((runs[k] for k in now.also if k in runs), 1):
            try:
                model = load_model(str(weights_folder(run.id)))
            except PrunekitError:
                continue  # its weights are damaged: the others are measured
            candidates.append(Candidate(f"run {number}", model, count(model, loaded.input_shape).effective_macs))
        report = latency.measure_latency(
            candidates, input_shape=loaded.input_shape, runtimes=now.runtimes, batch=now.batch, threads=threads_of(now), device=now.device,
            length=now.length if own_length(loaded) else (), data=data, accuracy_on=judged, budget_s=float(now.budget),
            progress=job.progress,
        )  # fmt: skip
        also = {f"run {number}": runs[k].id for number, k in enumerate((k for k in now.also if k in runs), 1)}
        keeper, went = Keeper(job.store, job.progress), {name: share_of(each.result) for name, each in made.items()}
        kept_as = keep_timed(report, model_id, loaded.model, made, keeper, runs=also, data=data, data_id=data_id)
        found = LatencyMeasurement(report, sizes, went, wanted)
        if "dense" in kept_as:
            keeper.ask(lambda store: put_report(found, kept_as["dense"], key, store))
        return found

    measuring.start(key, f"Latency of {model_cache.title_of(loaded.source.name)} at {percent(now.sparsity)}", work, alone=True)


def share_of(result: pruning.PruneResult) -> float:
    """Return the share that went, of what was counted."""
    plan = result.plan
    return result.achieved.sparsity if plan is None else plan.removed / plan.total


def button(now: Settings, loaded: Loaded, data: Data | None, done: bool) -> None:
    """Show the button that starts a measurement, again where it is done; data are needed by criteria that look at them."""
    job = board().get(key_of(now, loaded))
    busy = job is not None and job.active
    lacking = [f"**{RUNTIMES[name].title}**: {show.plain(RUNTIMES[name].missing())}" for name in now.runtimes if RUNTIMES[name].missing()]
    with show.slot():
        for sentence in lacking:
            st.caption(f":orange[{sentence}]")
    st.button(
        "Measure again" if done else "Measure latency here", key="measure_latency", type="secondary" if done else "primary",
        disabled=busy or (data is None and needs_data(now)),
        icon=":material/timer:", on_click=start, args=(now, loaded, data),
    )  # fmt: skip
