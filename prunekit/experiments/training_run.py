"""Training from scratch through the store: a root run with its learning curve, its weights in a file of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Training
from prunekit.data.load import load_data
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import checkpoints
from prunekit.experiments.identity import data_hash, run_id, weights_of
from prunekit.experiments.load_run import vouched
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.requests import Request
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.drafts import write_file
from prunekit.models.load import load_model
from prunekit.models.state import state_hash, tensor_state
from prunekit.tasks.input_form import form_of_data, noted
from prunekit.training.from_scratch import train
from prunekit.training.result import Epoch, Tuned

Report = Callable[[Epoch], object]


@dataclass(frozen=True)
class TrainRequest(Request):
    """A sample to train from scratch."""

    what = "train"
    model: ModelId
    data: DataId  # what it learns from
    training: Training = field(default_factory=Training)


@dataclass(frozen=True, eq=False)
class Trained:
    """A sample after training."""

    run: str
    checkpoint: str  # fingerprint of its weights file; empty where that could not be kept
    payload: bytes
    validation: Evaluation | None  # validation, test: on all images of the split
    test: Evaluation
    tuned: Tuned  # learning curve and which epoch was kept


def train_through(
    request: TrainRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    report: Report | None = None,
) -> Trained:
    """Train a sample and keep it as a root run."""
    known = load_model(ModelId(request.model.name))
    data = load_data(request.data, model=known)
    tuned = train(request.model.name, data, request.training, report=report, progress=progress)
    payload = save({name: value.contiguous() for name, value in tensor_state(tuned.model).items()})
    keeper = Keeper(store, progress)
    path = keep(payload, keeper) if store is not None else None
    shape = form_of_data(data)
    told = {**asdict(count(tuned.model, shape)), "state": state_hash(tuned.model), "input_shape": noted(shape)}
    told |= vouched(tuned.model, request.model, shape)
    run = _run(request, tuned, weights_of(tuned.model), path, told)
    found = {}
    for split in ("validation", "test"):
        part = getattr(data, split)
        if part is not None:
            found[split] = evaluate(tuned.model, part, progress=progress)
            seen = Measurement.of(run.id, found[split], request.data.to_dict(), data_hash(part), split)
            keeper.ask(_kept(run, seen))
    return Trained(run.id, "" if path is None else path.stem, payload, found.get("validation"), found["test"], tuned)


def _run(request: TrainRequest, tuned: Tuned, weights: str, path: Path | None, counts: dict[str, Any]) -> Run:
    """Return the run of what was trained."""
    history = [{key: value for key, value in epoch.to_dict().items() if key != "seconds"} for epoch in tuned.history]
    settings = {"training": request.training.to_dict(), "history": history, "best": tuned.best, "stopped": tuned.stopped}
    info = {**counts, "achieved": 0.0, **settings, **({} if path is None else {"file": path.name})}
    model = ModelId(request.model.name, None if path is None else str(path)).to_dict()
    title = f"{request.model.name}, {request.training.title()}, seed {request.training.seed}"
    return Run(run_id(weights, None, None), "trained", title, model, weights, info=info)


def _kept(run: Run, seen: Measurement) -> Callable[[RunStore], object]:
    """Return what puts a run and a measurement of it into a store."""
    return lambda store: store.put_point([run], seen)


def keep(payload: bytes, keeper: Keeper) -> Path | None:
    """Write a weights file named by its content, whole or not at all; None, and a warning, where that fails."""
    path = checkpoints() / f"{hashlib.sha256(payload).hexdigest()[:20]}.safetensors"
    try:
        write_file(path, payload)
    except OSError as error:
        keeper.progress.warn(f"the trained weights could not be kept in {path.parent}: {error.strerror or error}. Free some space")
        return None
    return path
