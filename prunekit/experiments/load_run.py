"""Opening a run again: the very model that was measured, read from where it was kept or made once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import CheckpointError, ModelError, PrunekitError, RunGone
from prunekit.evaluation.progress import eval_mode
from prunekit.experiments.home import checkpoints, weights_folder
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.identity import weights_of
from prunekit.experiments.records import Run
from prunekit.experiments.sources import INT8, Shape, Source, run_gone
from prunekit.experiments.store import RunStore
from prunekit.models.folder import is_folder
from prunekit.models.load import load_model
from prunekit.models.outputs import SCORES, Choice, choice_of, path_of_scores
from prunekit.models.probe import Probe, difference, take
from prunekit.models.running import class_scores, outputs_of
from prunekit.models.saved_values import code_of
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from prunekit.pruning.result import PruneResult
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import scores_of
from prunekit.runtimes.runtime import Files, Session
from prunekit.tasks.batch import Batch

FEW = 256
"""Values of outputs that are noted: a row is kept of every point of a curve."""


def vouched(model: nn.Module, model_id: ModelId, shape: Sequence[int]) -> dict[str, Any]:
    """Return what is noted of a model's answers; its tensors are told by the hash that is noted too."""
    return {"probe": take(model, shape, code=code_of(model_id.name), most=FEW, hashed=False).to_dict()}


def otherwise(run: Run, model: nn.Module) -> str:
    """Say by what a model's answers differ from those that were noted of a run; "" where they do not, or none were noted."""
    noted = run.info.get("probe")
    if not noted:
        return ""
    try:
        return difference(model, Probe.from_dict(noted), code=code_of(str(run.model.get("name", ""))))
    except CheckpointError as error:
        return str(error)


@dataclass(frozen=True, eq=False)
class Opened:
    """A run, ready to be looked at and measured."""

    run: Run
    model: nn.Module | None  # in eval mode, its parameters without gradients, shared with nobody who writes to it; None for a quantised run
    session: Session | None  # a quantised run in its runtime
    file: Path | None  # what it was read from: a folder, a checkpoint or ``model.int8.onnx``; None where it was made again
    data_id: DataId | None  # what its images were, where it has been measured
    note: str = ""  # what a person should know; mostly ""
    shape: Shape | None = None  # of one sample, where it is known
    dense: nn.Module | None = field(default=None, repr=False)  # what it was pruned from, where that was needed to open it
    result: PruneResult | None = field(default=None, repr=False)  # what pruning gave, where it was made again

    def base(self) -> nn.Module | None:
        """Return the model itself, or the dense one behind a quantised run, where that can be loaded: it tells the nest of outputs."""
        try:
            return load_model(ModelId.from_dict(self.run.model)) if self.model is None else self.model
        except (PrunekitError, OSError):
            return None

    def scores(self, x: Tensor | Batch, classes: int = 0) -> Tensor:
        """Return the class scores of a batch, [N, classes], on the CPU; a quantised run is asked in its runtime.

        ``classes`` is how many the data have; 0 where nobody knows.
        """
        if self.session is not None:
            return scores_of(self.session, x, classes)
        assert self.model is not None
        with eval_mode(self.model), torch.inference_mode():
            return class_scores(self.model, x, classes).cpu()

    def outputs(self, x: Tensor | Batch) -> dict[str, Tensor]:
        """Return all tensors that it gives for a batch, by their path, on the CPU."""
        if self.session is not None:
            return self.session.outputs(x)
        assert self.model is not None
        with eval_mode(self.model), torch.inference_mode():
            return outputs_of(self.model, x)

    def path_of_scores(self, outputs: Mapping[str, Tensor], classes: int = 0) -> str | None:
        """Return which of these, with an entry for each sample, are the class scores; None where none are, or more may be meant."""
        named = Choice(SCORES if SCORES in outputs else None, (classes,) if classes else ())
        try:
            choice = named if self.model is None else choice_of(self.model, classes)
            return path_of_scores(outputs, len(next(iter(outputs.values()))), choice)
        except (ModelError, StopIteration):
            return None


def open_run(run: Run | str, store: RunStore | None = None, *, data: Any = None) -> Opened:
    """Open a run.

    What was recovered, trained or imported is read from where it was kept, and must be what was measured. What was pruned alone is
    pruned again: that gives the same weights, as long as the dense model and the images that the criterion looked at are the same.
    """
    where = usual_store() if store is None else store
    known = where.find(run) if isinstance(run, str) else run
    source = Source(known, where, data)
    opened = OPENERS[known.kind](source)
    differs = "" if opened.model is None else otherwise(known, opened.model)
    if differs:
        raise run_gone(
            known,
            f"what is made of them here is not what was measured: {differs}",
            AGAIN.get(known.kind, "Make it again from today's, or delete it"),
        )
    note = " ".join(filter(None, (opened.note, EARLIER if known.earlier else "")))
    return replace(opened, data_id=next(iter(source.data_ids()), None), note=note)


def _dense(source: Source) -> Opened:
    """Open the dense model."""
    model, shape = source.dense()
    return Opened(source.run, model, None, None, None, shape=shape, dense=model)


def _pruned(source: Source) -> Opened:
    """Prune again."""
    run, spec = source.run, source.spec
    assert spec is not None
    model, shape = source.dense()
    try:
        result = prune(model, spec, source.images(), input_shape=shape)
    except RunGone:
        raise
    except PrunekitError as error:
        raise run_gone(run, f"it cannot be pruned again: {error}", "Make it again with another setting, or delete it") from error
    pruned = result.model.eval().requires_grad_(False)
    same = run.info.get("state") in (None, state_hash(pruned))
    note = "" if same else "Pruned again here it has not quite the weights that were measured: other versions or another machine."
    return Opened(run, pruned, None, None, None, note, shape, model, result)


def _kept(source: Source) -> Opened:
    """Read a folder."""
    run, folder = source.run, weights_folder(source.run.id)
    if (folder / INT8).is_file():
        return _quantised(source)
    if not is_folder(folder):
        if "file" not in run.info and run.kind == "recovered":
            why = "they were measured and not kept, as in a curve of accuracy"
            raise run_gone(run, why, "Recover it again on the Recover page, or delete the run")
        raise run_gone(run, f"the folder {folder} is not there", AGAIN[run.kind])
    return Opened(run, _same(source, str(folder)), None, folder, None, shape=_shape(run))


def _trained(source: Source) -> Opened:
    """Read a checkpoint."""
    run = source.run
    told = run.model.get("weights")
    usual = checkpoints() / str(run.info.get("file") or "none")
    places = [path for path in (usual, Path(str(told or usual))) if path.is_file()]
    if not places:
        raise run_gone(run, "the trained weights are not there" + (f" ({told})" if told else ""), AGAIN[run.kind])
    model = _same(source, replace(source.model_id, weights=str(places[0])))
    if run.weights not in (weights_of(model, _shape(run)), state_hash(model)):
        raise run_gone(run, f"{places[0]} holds other weights than those that were trained", AGAIN[run.kind])
    return Opened(run, model, None, places[0], None, shape=_shape(run), dense=model)


def _quantised(source: Source) -> Opened:
    """Open an int8 file in its runtime."""
    folder = weights_folder(source.run.id)
    file = folder / INT8
    if not file.is_file():
        raise run_gone(source.run, f"{file} is not there", AGAIN["quantised"])
    session = RUNTIMES["int8"].open(Files(folder, folder / "model.onnx", file))
    return Opened(source.run, None, session, file, None, shape=_shape(source.run))


def _same(source: Source, name: ModelId | str) -> nn.Module:
    """Return the model of a file, which must be the one that was measured."""
    run = source.run
    try:
        model = load_model(name)
    except (PrunekitError, OSError) as error:
        raise run_gone(run, f"they cannot be read: {error}", AGAIN[run.kind]) from error
    if run.info.get("state") not in (None, state_hash(model)):
        raise run_gone(run, "the file holds other weights than those that were measured", AGAIN[run.kind])
    return model


def _shape(run: Run) -> Shape | None:
    """Return the shape of a sample, where it was noted."""
    noted = run.info.get("input_shape")
    return tuple(noted) if noted else None


EARLIER = "It was made by an earlier version of prunekit, which did not note all of the code behind it: make it again to be sure of it."
AGAIN = {
    "recovered": "Recover it again with the same setting on the Recover page, or delete the run",
    "trained": "Train it again with the same seed, or delete the run",
    "imported": "Import its archive again, or delete the run",
    "quantised": "Quantise it again on the Recover page, or delete the run",
}
OPENERS: dict[str, Callable[[Source], Opened]] = {
    "dense": _dense,
    "pruned": _pruned,
    "recovered": _kept,
    "imported": _kept,
    "trained": _trained,
    "quantised": _quantised,
}
