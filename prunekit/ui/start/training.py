"""Training a sample from scratch on the Start page: live curves, and a root run whose weights can be used everywhere."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Training
from prunekit.data.dataset import Data
from prunekit.errors import StoreError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import Run
from prunekit.experiments.training_run import Trained, TrainRequest
from prunekit.formatting import plural
from prunekit.plots.learning_curves import learning_curves
from prunekit.training.result import Epoch
from prunekit.ui.classroom import limits, rules
from prunekit.ui.components import show
from prunekit.ui.recover.results import epoch_frame
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings
from prunekit.ui.state.uploads import uploads
from sample_models import SAMPLES

LISTED = 6


def section(now: Settings, loaded: Loaded, data: Data | None) -> None:
    """Show how to train the sample in use from random weights."""
    name = loaded.source.name
    if name not in SAMPLES or data is None or data.train is None:
        return
    show.section("Train it yourself", "From random weights, with the sample's own recipe: the first step of train, remove, fine-tune.")
    recipe = SAMPLES[name].recipe
    most = limits.training_epochs(recipe.epochs, data_cache.data_name(now, loaded))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        epochs = st.number_input(
            "Epochs", min_value=1, max_value=most, value=min(recipe.epochs, most), step=1, width=120, key=f"train_epochs_{name}",
            help="One cycle of the learning rate, however many there are.",
        )  # fmt: skip
        seed = st.number_input("Seed", min_value=0, max_value=2**53 - 1, value=1, step=1, width=120, key="train_seed")
        request = TrainRequest(ModelId(name), _data_id(now, loaded), Training(epochs=int(epochs), seed=int(seed)))
        key = key_of("train", request.to_dict())
        job = board().get(key)
        busy = job is not None and job.active
        st.button(
            "Training …" if busy else "Train from scratch", key="train_start", icon=":material/model_training:", disabled=busy,
            on_click=_start, args=(request,),
        )  # fmt: skip
        st.caption(_how_long(name, len(data.train)))
    measuring.panel(key, _live)
    if job is not None and job.warning:
        st.warning(show.plain(job.warning), icon=":material/save_as:")
    if job is not None and not busy and job.state == "done":
        _done(now, job)
    _earlier(now, name, job)


def _data_id(now: Settings, loaded: Loaded) -> DataId:
    """Return the data in use as the core names them."""
    name = data_cache.data_name(now, loaded)
    return data_cache.data_id(name, now.limit, loaded)


def _how_long(name: str, images: int) -> str:
    """Say what to expect."""
    if name.startswith("digits"):
        return f"{images:,} images: a matter of seconds."
    minutes = "minutes" if name.startswith("mnist") else "hours"
    return f"{images:,} images: a matter of {minutes} on a CPU. It goes on when you close this page."


def _start(request: TrainRequest) -> None:
    """Start training; a button's callback."""
    job = board().get(key_of("train", request.to_dict()))
    if job is not None and not job.active:
        board().drop(job.key)
    measuring.ask("train", request.to_dict(), f"Train {model_cache.title_of(request.model.name)}")


def _live(job: Job) -> None:
    """Draw the learning curves so far."""
    epochs = [item for item in list(job.partial) if isinstance(item, Epoch)]
    if not epochs:
        return
    last = epochs[-1]
    seen = f", validation {last.validation.metric.phrase} {last.validation.text()}" if last.validation is not None else ""
    total = int(job.request.get("training", {}).get("epochs") or 0)
    fig = learning_curves(epoch_frame(epochs), epochs=total, best=None if job.active else _best(job), dark=show.dark())
    show.chart(fig, "training", f"Epoch {last.number}: training loss {last.loss:.3f}{seen}.")


def _best(job: Job) -> int | None:
    """Return the epoch that was kept."""
    return job.result.tuned.best if isinstance(job.result, Trained) else None


def _done(now: Settings, job: Job) -> None:
    """Show what came out, and offer to use it."""
    trained = job.result
    assert isinstance(trained, Trained)
    _live(job)
    a = trained.test
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.markdown(
        f"**{show.plus_minus(a.value, a.low, a.high)}** {show.tag('measured')} on {a.n:,} test images; epoch {trained.tuned.best} was kept."
        + (f" :orange[{show.plain(trained.tuned.stopped)}]" if trained.tuned.stopped else "")
    )
    key = trained.checkpoint or uploads().put("trained.safetensors", trained.payload)
    used = now.upload == key
    right.button(
        "In use" if used else "Use these weights", key="use_trained", icon=":material/check:", disabled=used, on_click=_use, args=(key,)
    )


def _use(key: str) -> None:
    """Take trained weights as the model in use; a button's callback."""
    now = session.settings()
    session.put(now.of_model(now.model, upload=key))


def _earlier(now: Settings, name: str, job: Job | None) -> None:
    """List what was trained before."""
    newest = job.result.run if job is not None and isinstance(job.result, Trained) else ""
    runs = [run for run in _kept() if run.model.get("name") == name and run.id != newest and run.info.get("file")]
    if not runs:
        return
    with st.expander(f"Trained before: {plural(len(runs), 'run')}", icon=":material/history:"):
        for run in runs[:LISTED]:
            key = Path(str(run.info["file"])).stem
            words, use = st.columns([4, 1], vertical_alignment="center")
            words.markdown(f"{show.plain(run.title)} :gray[{run.created[:16].replace('T', ' ')}]")
            gone = uploads().path(key) is None
            use.button(
                "In use" if now.upload == key else "Gone" if gone else "Use", key=f"use_{run.id[:12]}", disabled=gone or now.upload == key,
                on_click=_use, args=(key,),
            )  # fmt: skip


def _kept() -> list[Run]:
    """Return the trained runs of the store, the latest first."""
    kept = board().store
    try:
        found = [] if kept is None else rules.view(kept).runs(kind="trained", limit=100)
    except StoreError:
        return []
    return sorted(found, key=lambda run: run.created, reverse=True)
