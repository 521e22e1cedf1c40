"""The Latency page: what is timed, in which runtimes, and the job."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st
import torch

from prunekit import evaluation, latency, pruning
from prunekit.config.choices import NEEDS_DATA
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.sizes import Sizes
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import weights_folder
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.latency_report import LatencyMeasurement, put_report, report_of
from prunekit.experiments.latency_run import Timed, keep_timed
from prunekit.experiments.records import Label, Run
from prunekit.experiments.run_list import dense_run
from prunekit.formatting import percent, plural
from prunekit.latency.report import Candidate
from prunekit.models.cost import count
from prunekit.models.folder import is_folder
from prunekit.models.load import load_model
from prunekit.models.running import task_of
from prunekit.pruning.counterpart import Counterpart, counterpart
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.text_inputs import most_tokens
from prunekit.ui.classroom import rules
from prunekit.ui.components import left_out, setting_controls, show
from prunekit.ui.components.field_controls import control
from prunekit.ui.shared import baseline, cuts, measuring, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.compatible import nearest
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import Settings

BATCHES, LENGTHS = (1, 8, 32, 128), (32, 128, 512, 2048)
MOST_RUNS = 4


def cores() -> int:
    """Return the cores of this machine."""
    return os.cpu_count() or 1


def threads_of(now: Settings) -> tuple[int, ...]:
    """Return the numbers of threads that this machine can give."""
    return tuple(dict.fromkeys(min(n, cores()) for n in now.threads))


def setting(now: Settings, loaded: Loaded) -> None:
    """Show what is timed and how."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            setting_controls.criterion(now.mode)
            setting_controls.scope(now.mode)
        if now.mode == "nm":
            setting_controls.pattern()
            setting_controls.slider("the channels")
        else:  # the target and the units of structured pruning hold in its own mode only
            channels = setting_controls.counted(now) if now.mode == "structured" else "the channels"
            setting_controls.slider(f"the weights, or of {channels}")
        with show.slot():
            _unlike(now)
            left_out.shown(now, loaded)
            _carried(now, loaded)
        _where(now, loaded)
        _runs(now, loaded)


def _where(now: Settings, loaded: Loaded) -> None:
    """Show runtimes, batches, lengths of texts, threads, device and budget."""
    told = "  \n".join(f"**{runtime.title}**: {runtime.advice}." for runtime in RUNTIMES.values())
    titles: dict[str, Any] = {"format_func": lambda name: RUNTIMES[name].title, "help": told}
    control("runtimes", "Runtimes (the first is the baseline)", options=list(RUNTIMES), take=_in_order, **titles)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        control("batch", options=sorted({*BATCHES, *now.batch}), take=_some(now.batch))
        _length(now, loaded)
        given = threads_of(now)
        about = f"This machine has {plural(cores(), 'core')}."
        control("threads", options=sorted({1, cores(), *given}), show=lambda _: list(given), take=_some(now.threads), help=about)
        control("budget", width=130)
        if torch.cuda.is_available() or now.device == "cuda":
            control("device", segmented=True)
    if not torch.cuda.is_available():
        st.caption("On the CPU; there is no CUDA device on this machine.")


def own_length(loaded: Loaded) -> int:
    """Return how many tokens the model is given at a time; 0 for one that reads no text."""
    shape = loaded.input_shape
    return task_of(loaded.model).length(shape.example) if isinstance(shape, InputForm) else 0


def _length(now: Settings, loaded: Loaded) -> None:
    """Offer lengths, for a model that reads text."""
    own = own_length(loaded)
    if own:
        most = most_tokens(loaded.model) or own
        offered = sorted({own, *now.length, *(n for n in LENGTHS if n <= most)})
        control(
            "length", "Length, tokens", options=offered, show=lambda chosen: list(chosen or (own,)),
            take=lambda chosen: () if not chosen or tuple(chosen) == (own,) else tuple(sorted(chosen))[:6],
        )  # fmt: skip


def _in_order(names: list[str]) -> tuple[str, ...]:
    """Return the chosen runtimes in the order of the registry; at least eager."""
    return tuple(name for name in RUNTIMES if name in names) or ("eager",)


def _some(before: tuple[int, ...]):  # type: ignore[no-untyped-def]
    """Return what takes chosen numbers in their order, at least one of them and at most six."""
    return lambda chosen: tuple(sorted(chosen))[:6] or before[:1]


def _unlike(now: Settings) -> None:
    """Say which candidate is made in another way, because the choice does not go with its mode."""
    for name, curve in curves(now).items():
        if curve.criterion != now.criterion:
            st.caption(
                f"The {name} model is pruned by {CRITERIA[curve.criterion].title}: {CRITERIA[now.criterion].title} does not score "
                f"{'channels' if curve.mode == 'structured' else 'single weights'}."
            )


def _carried(now: Settings, loaded: Loaded) -> None:
    """Say what of the shares of single layers holds otherwise for one of the candidates."""
    with show.plain_errors(stop=False):
        for name, found in settings_of(now, loaded).items() if left_out.is_set(now) else ():
            total = "" if found.spec.sparsity in (None, now.sparsity) else f", {percent(found.spec.sparsity)} in all"
            if found.notes or total:
                st.caption(f"The {name} model has the same shares{total}." + "".join(f" {show.plain(note)}." for note in found.notes))


def _runs(now: Settings, loaded: Loaded) -> None:
    """Offer the stored runs of this model whose weights were kept."""
    known = kept_runs(now, loaded)
    if known:
        names = {run: label.name for run, label in _labels().items()}
        st.multiselect(
            "Beside them, runs whose weights were kept", list(known), max_selections=MOST_RUNS,
            format_func=lambda key: names.get(known[key].id) or known[key].title,
            placeholder="Recovered models of the Recover page",
            **session.bind("also", start="default", show=lambda keys: [k for k in keys if k in known], take=tuple),
        )  # fmt: skip


def kept_runs(now: Settings, loaded: Loaded) -> dict[str, Run]:
    """Return the stored runs of this model whose weights are still there, the latest first."""
    kept = board().store
    if kept is None:
        return {}
    try:
        runs = rules.view(kept).runs()
    except PrunekitError:
        return {}
    weights = measuring.weights_of(now, loaded, tuple(loaded.input_shape))
    mine = [run for run in runs if run.weights == weights and run.kind == "recovered" and is_folder(weights_folder(run.id))]
    return {run.id[:12]: run for run in sorted(mine, key=lambda run: run.created, reverse=True)[:50]}


def _labels() -> dict[str, Label]:
    """Return what people say of runs."""
    kept = board().store
    return {} if kept is None else rules.view(kept).labels()


def curves(now: Settings) -> dict[str, Curve]:
    """Return mode, criterion and scope of each pruned candidate: zeroed weights, and removed channels."""
    modes = {"masked": "nm" if now.mode == "nm" else "unstructured", "smaller": "structured"}
    return {name: nearest(Curve(mode, now.criterion, now.scope, chosen=now.mode == mode)) for name, mode in modes.items()}


def specs(now: Settings, loaded: Loaded) -> dict[str, PruneSpec]:
    """Return the setting of each pruned candidate: ticks, shares and caps of single layers hold for both."""
    return {name: found.spec for name, found in settings_of(now, loaded).items()}


def settings_of(now: Settings, loaded: Loaded) -> dict[str, Counterpart]:
    """Return the setting of each pruned candidate, and what of the Prune page's does not hold for it as it is."""
    own = now.spec(loaded.every)
    plain = {name: now.spec(loaded.every, curve) for name, curve in curves(now).items()}
    if not left_out.is_set(now):
        return {name: Counterpart(spec) for name, spec in plain.items()}
    return {name: Counterpart(own) if spec.mode == own.mode else _other(loaded.source, own, spec) for name, spec in plain.items()}


@shared(64)
def _other(source: Source, own: PruneSpec, like: PruneSpec) -> Counterpart:
    """Return the setting of the Prune page in another mode; where nothing of it can be had there, the plain one, and why."""
    try:
        return counterpart(model_cache.load(source).model, own, like, cuts.graph(source))
    except PrunekitError as error:
        return Counterpart(like, (f"what is set layer by layer cannot be carried over ({error})",))


def needs_data(now: Settings) -> bool:
    """Return whether a candidate is made by looking at images."""
    rows = bool(now.rows or now.row_shares) and now.row_criterion != "norm"
    return bool(now.remove_layers) or rows or any(curve.criterion in NEEDS_DATA for curve in curves(now).values())


def wants_data(now: Settings) -> bool:
    """Return whether images are looked at at all: by a criterion, or to calibrate int8."""
    return needs_data(now) or any(RUNTIMES[name].file == "int8" for name in now.runtimes)


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
