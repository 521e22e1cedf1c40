"""Quantisation through the store: an int8 model is a run of its own, with a parent, a file and an accuracy in its runtime."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.home import weights_folder
from prunekit.experiments.identity import data_hash, digest, measurement_id
from prunekit.experiments.records import Measurement, Run, what_of
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.latency.quantised import quantise
from prunekit.models.cost import count
from prunekit.models.folder import is_folder
from prunekit.models.load import load_model
from prunekit.pruning.api import prune
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import evaluate_session
from prunekit.runtimes.runtime import Files
from prunekit.tasks.input_form import noted, reads_ids

RUNTIME = "int8"


@dataclass(frozen=True, eq=False)
class Quantised:
    """A quantised model."""

    run: str  # run, parent: its run, and that of the model that was quantised
    parent: str
    file: Path  # ``model.int8.onnx``
    bytes: int  # bytes, before_bytes: size of that file, and of the same model as ONNX in float32
    before_bytes: int
    accuracy: Evaluation  # accuracy, test: in ONNX Runtime, on the split that was asked for and on all test images
    test: Evaluation
    before: Evaluation  # before, before_test: the same of the parent
    before_test: Evaluation


def quantise_through(
    request: AccuracyRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    model: nn.Module | None = None,
    data: Any = None,
) -> Quantised:
    """Quantise the model that a setting and a recovery lead to, and measure it in its runtime.

    What the store holds is read: a model that was quantised before, and a recovery whose weights are still there.
    """
    if model is None or data is None:
        model, data = load(request.model, request.data)
    return Quantising(request, model, data, Keeper(store, progress)).carry_out(store, progress)


class Quantising(Experiment):
    """An experiment that quantises what it makes."""

    def __init__(self, request: AccuracyRequest, model: nn.Module, data: Any, keeper: Keeper) -> None:
        super().__init__(request, model, data, keeper)
        self.request = request

    def carry_out(self, store: RunStore | None, progress: Progress) -> Quantised:
        """Make, quantise and measure."""
        source = self._source(store, progress.part(0.0, 0.5))
        run, parent, files, sizes = self._quantised(source, progress.part(0.5, 0.8))
        tell, whole = progress.part(0.8, 1.0), self.data.test
        assert files.int8 is not None
        return Quantised(
            run.id, parent.id, files.int8, *sizes,
            self._int8(run, files, self.part, self.split, tell), self._int8(run, files, whole, "test", tell),
            self._before(parent, source, self.part, self.split), self._before(parent, source, whole, "test"),
        )  # fmt: skip

    def on_part(self, source: nn.Module, progress: Progress) -> tuple[Run, int, Evaluation]:
        """Quantise a model that the setting led to; return its run, the bytes of its file and its quality on the part asked for alone."""
        run, _, files, (size, _) = self._quantised(source, progress)
        return run, size, self._int8(run, files, self.part, self.split, progress)

    def _quantised(self, source: nn.Module, progress: Progress) -> tuple[Run, Run, Files, tuple[int, int]]:
        """Quantise a model; return its run and its parent's, kept, the files, and their bytes in int8 and in float32."""
        parent = self.run(self.request.spec, self.request.recovery)
        run = self._run(parent, source)
        folder, shape = weights_folder(run.id), self.shape
        files = Files(folder, folder / "model.onnx", folder / "model.int8.onnx")
        if not (folder / "model.int8.onnx").is_file():
            files = quantise(source, self.data, folder, input_shape=shape, like=self.model, progress=progress)
        assert files.int8 is not None and files.onnx is not None
        sizes = files.int8.stat().st_size, files.onnx.stat().st_size
        run = replace(run, info={**run.info, "file": files.int8.name, "bytes": sizes[0], "float32_bytes": sizes[1]})
        for each in (self.run(None, Recovery()), parent, run):
            self.keeper.ask(partial(_put, each))
        return run, parent, files, sizes

    def _source(self, store: RunStore | None, progress: Progress) -> nn.Module:
        """Return the model to quantise."""
        spec, recovery = self.request.spec, self.request.recovery
        if spec is None:
            return self.model
        if not recovery.active:
            return prune(self.model, spec, self.data, input_shape=self.shape).model
        folder = weights_folder(self.run(spec, recovery).id)
        if not is_folder(folder):
            recover_through(self.request, store, progress, model=self.model, data=self.data)
        if not is_folder(folder):
            raise PrunekitError("the recovered weights could not be kept, so there is nothing to quantise: free some space and try again")
        return load_model(str(folder))

    def _run(self, parent: Run, source: nn.Module) -> Run:
        """Return the run of the quantised model."""
        linear = reads_ids(self.shape)  # then no samples are looked at
        calibrated = data_hash(self.data.train) if self.data.train is not None and not linear else ""
        how = {"runtime": RUNTIME, "calibrated_on": calibrated} | ({"layers": "linear"} if linear else {})
        name = digest({"parent": parent.id, "quantised": how})
        counts = {
            **asdict(count(source, self.shape)),
            "achieved": count(source, self.shape).sparsity,
            "runtime": RUNTIMES[RUNTIME].version(),
            "input_shape": noted(self.shape),
        }
        return replace(
            parent, id=name, kind="quantised", title=f"{parent.title}, int8", parent=parent.id, trained_on=calibrated, info=counts
        )

    def stored_int8(self, run: str, split: str, samples: int) -> Evaluation | None:
        """Return what the store holds of a quantised run in its runtime."""
        kept = self.keeper.ask(lambda store: store.measurement(self._seen_as(run, split, samples)))
        return None if kept is None or kept.earlier else kept.evaluation

    def _seen_as(self, run: str, split: str, samples: int) -> str:
        """Return what a measurement in the runtime is known by."""
        what = what_of(self.task.headline.name)
        return measurement_id(run, self._hash(split), split, samples, what=what, runtime=RUNTIME, versions=self._with_runtime)

    @property
    def _with_runtime(self) -> dict[str, str]:
        """Versions of what computes."""
        return {**self.versions, "runtime": RUNTIMES[RUNTIME].version()}

    def _int8(self, run: Run, files: Files, part: Any, split: str, progress: Progress) -> Evaluation:
        """Return the accuracy of the quantised model in its runtime, from the store or measured."""
        kept = self.stored_int8(run.id, split, len(part))
        if kept is not None:
            return kept
        session = RUNTIMES[RUNTIME].open(files)
        found = evaluate_session(session, part, model=self.model, progress=progress)
        seen = Measurement.of(run.id, found, self.data_id.to_dict(), self._hash(split), split)
        seen = replace(seen, id=self._seen_as(run.id, split, len(part)), runtime=RUNTIME, versions=self._with_runtime)
        self.keeper.ask(lambda store: store.put_measurement(seen))
        return found

    def _before(self, parent: Run, source: nn.Module, part: Any, split: str) -> Evaluation:
        """Return the accuracy of the parent, from the store or measured."""
        hashed = self._hash(split)
        kept = self.keeper.ask(lambda store: store.quality(parent.id, hashed, split, len(part), self.versions, self.task.headline.name))
        if kept is not None:
            return kept  # type: ignore[no-any-return]
        found = evaluate(source, part, progress=self.progress)
        seen = Measurement.of(parent.id, found, self.data_id.to_dict(), hashed, split, versions=self.versions)
        self.keeper.ask(lambda store: store.put_measurement(seen))
        return found

    def _hash(self, split: str) -> str:
        """Return the fingerprint of a whole split."""
        return data_hash(getattr(self.data, split))


def _put(run: Run, store: RunStore) -> None:
    """Keep a run."""
    store.put_run(run)
