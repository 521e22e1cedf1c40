"""Recovery through the store: every stage measured, the learning curve and the recovered weights kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import samples_of
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import Made
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.worker import Call, Loaded
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.home import FILE, weights_folder
from prunekit.experiments.identity import data_hash
from prunekit.experiments.new_run import course
from prunekit.experiments.records import Measurement, Run, what_of
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_structure import layers_of
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import told_metric
from prunekit.models.drafts import draft, put
from prunekit.models.folder import is_folder, write_folder
from prunekit.models.load import load_model
from prunekit.pruning.result import PruneResult
from prunekit.tasks.input_form import noted
from prunekit.tasks.observations import Observations
from prunekit.training.batchnorm import NONE_LEFT, Shift, brought
from prunekit.training.gradual import recover
from prunekit.training.result import Epoch

_UNSEEN = Observations(np.zeros((0, 1), dtype=bool), ("correct",))
TITLES = {"dense": "Dense", "pruned": "Pruned", "recalibrated": "BatchNorm recalibrated", "recovered": "Recovered"}


@dataclass(frozen=True)
class Stage:
    """One stop on the way from the dense to the recovered model."""

    name: str  # {"dense", "pruned", "recalibrated", "recovered"}
    run: str
    accuracy: Evaluation  # on the split that was asked for
    test: Evaluation | None = None  # on all test images, which decide nothing; None where that split was asked for anyway
    note: str = ""  # of recalibration: what it brought and, where that is nothing, why

    @property
    def last_word(self) -> Evaluation:
        """The accuracy on test images."""
        return self.accuracy if self.test is None else self.test


Report = Callable[[Stage | Epoch], object]


def recover_through(
    request: AccuracyRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    report: Report | None = None,
    model: nn.Module | None = None,
    data: Any = None,
    cluster: Cluster | None = None,
) -> list[Stage]:
    """Prune, recalibrate and fine-tune as asked, and measure what each step brings.

    What the store holds is read: stages that were measured before, and the learning curve of a recovery that was carried out before
    and whose weights are still there. On a cluster one worker does all of it, and the learning curve comes in the end.
    """
    if request.spec is None or not request.recovery.active:
        raise PrunekitError("choose what to do after pruning: recalibrate BatchNorm, or at least one epoch of fine-tuning")
    if model is None or data is None:
        model, data = load(request.model, request.data)
    experiment = _Recovering(request, model, data, Keeper(store, progress), report)
    if cluster is None:
        return experiment.stages(request.spec, request.recovery, progress)
    experiment.anywhere = True
    if all(experiment.stored(spec, recovery) is not None for _, spec, recovery in experiment.steps(request.spec, request.recovery)):
        return experiment.stages(request.spec, request.recovery, progress)
    call = Call(recover_there, request, experiment.weights, experiment.data_hash, request.recovery.title())
    return [stage for _, found in cluster.results([call], progress, model=model) for stage in map(experiment.take_over, found)]


@dataclass(frozen=True)
class _Travelling:
    """A stage on its way back from a worker."""

    stage: str
    note: str
    run: Run
    seen: Measurement
    test: Measurement | None
    files: dict[str, bytes]


def recover_there(request: AccuracyRequest, loaded: Loaded, progress: Progress) -> list[_Travelling]:
    """Carry out a whole recovery on a worker."""
    assert request.spec is not None
    with TemporaryDirectory() as name, closing(RunStore(Path(name) / FILE)) as store:
        experiment = _Recovering(request, loaded.model, loaded.data, Keeper(store, progress), None)
        experiment.folder = Path(name).joinpath
        found = []
        for stage in experiment.stages(request.spec, request.recovery, progress):
            run, seen = store.get_run(stage.run), {row.split: row for row in store.measurements(stage.run)}
            assert run is not None
            last = seen["test"] if stage.test else None
            found.append(_Travelling(stage.name, stage.note, run, seen[request.split], last, packed(Path(name, stage.run))))
        return found


class _Recovering(Experiment):
    """An experiment that tells of epochs and keeps recovered weights."""

    def __init__(self, request: AccuracyRequest, model: nn.Module, data: Any, keeper: Keeper, report: Report | None) -> None:
        super().__init__(request, model, data, keeper)
        self.recipe = Recipe(self.model_id.to_dict(), self.data_id.to_dict(), request.spec or PruneSpec(), request.recovery.to_dict())
        self.report = report or (lambda _: None)
        self._made: tuple[str, nn.Module] | None = None
        self._told: dict[str, dict[str, Any]] = {}
        self.folder: Callable[[str], Path] = weights_folder
        self.anywhere = False  # whether what other machines measured counts

    def take_over(self, told: _Travelling) -> Stage:
        """Keep and report a stage that a worker made."""
        if told.files and self.keeper.store is not None:
            unpack(told.files, self.folder(told.run.id), self.keeper.progress)
        self.keep(told.run, told.seen, None)
        last, test = told.test, None
        if last is not None:
            self.keeper.ask(lambda store: store.put_measurement(last))
            test = replace(last.evaluation, task=self.task)
        for row in told.run.info.get("history", ()):
            self.report(epoch_of(row))
        stage = Stage(told.stage, told.run.id, replace(told.seen.evaluation, task=self.task), test, told.note)
        self.report(stage)
        return stage

    def accuracy_in(self, store: RunStore, run: str) -> Evaluation | None:
        """Return what a store holds of a run on these images."""
        return super().accuracy_in(store, run) or self._elsewhere(store, run, self.data_hash, self.split, self.images)

    def _elsewhere(self, store: RunStore, run: str, hashed: str, split: str, n: int) -> Evaluation | None:
        """Return what another machine measured of a run, where that counts."""
        wanted = (hashed, split, n, what_of(self.task.headline.name), self.versions)
        rows = store.measurements(run) if self.anywhere else ()
        found = (row for row in rows if (row.data_hash, row.split, row.n, row.what, row.versions) == wanted and not row.earlier)
        return next((replace(row.evaluation, task=self.task) for row in found), None)

    def stages(self, spec: PruneSpec, recovery: Recovery, progress: Progress) -> list[Stage]:
        """Measure all stages in order."""
        steps = self.steps(spec, recovery)
        found: list[Stage] = []
        for place, (name, setting, after) in enumerate(steps):
            last = place == len(steps) - 1
            # fine-tuning takes nearly all of the time
            share = progress.part((0.3 if last else 0.3 * place / len(steps)), 1.0 if last else 0.3 * (place + 1) / len(steps))
            stage = self._stage(name, setting, after, share)
            found.append(replace(stage, note=self._brought(found[0], found[1], stage)) if name == "recalibrated" else stage)
            self.report(found[-1])
        return found

    def _brought(self, dense: Stage, pruned: Stage, recalibrated: Stage) -> str:
        """Say what recalibration brought, on test images."""
        kept = self.keeper.ask(lambda store: store.get_run(recalibrated.run))
        told = {**({} if kept is None else kept.info), **self._told.get(recalibrated.run, {})}
        if NONE_LEFT in told.get("notes", ()):
            return NONE_LEFT
        shift = Shift.from_dict(told["shift"]) if "shift" in told else None
        return brought(dense.last_word, pruned.last_word, recalibrated.last_word, shift)

    @staticmethod
    def steps(spec: PruneSpec, recovery: Recovery) -> list[tuple[str, PruneSpec | None, Recovery]]:
        """Return name, setting and recovery of each stage."""
        steps: list[tuple[str, PruneSpec | None, Recovery]] = [("dense", None, Recovery()), ("pruned", spec, Recovery())]
        alone = Recovery(recalibrate=recovery.recalibrate, images=recovery.images, augment=recovery.augment, seed=recovery.seed)
        if recovery.recalibrate:
            steps.append(("recalibrated", spec, alone))
        return [*steps, ("recovered", spec, recovery)] if recovery.epochs else steps

    def _stage(self, name: str, spec: PruneSpec | None, recovery: Recovery, progress: Progress) -> Stage:
        """Measure one stage, on the images that choose and on the test images."""
        run = self.run(spec, recovery).id
        whole = recovery.active and recovery == self._whole
        known = self.stored(spec, recovery)
        if known is not None and whole and recovery.epochs:
            self._retell(run)
        point = self.point(spec, recovery, None, progress)
        return Stage(name, run, point.accuracy, self._test(run, spec, recovery) if self.split != "test" else None)

    @property
    def _whole(self) -> Recovery:
        """The recovery that was asked for."""
        return Recovery.from_dict(dict(self.recipe.recover or {}))

    def stored(self, spec: PruneSpec | None, recovery: Recovery) -> Any:
        """Return a point from the store; a recovery counts only while its weights are there."""
        found = super().stored(spec, recovery)
        if found is not None and spec is not None and recovery == self._whole and not is_folder(self.folder(found.run)):
            return None
        return found

    def _retell(self, run: str) -> None:
        """Report the learning curve of a recovery that was carried out before."""
        kept = self.keeper.ask(lambda store: store.get_run(run))
        for row in kept.info.get("history", ()) if kept is not None else ():
            self.report(epoch_of(row))

    def _recovered(self, spec: PruneSpec, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Prune and recover, tell of each epoch, and keep the weights."""
        found = recover(self.model, spec, recovery, self.data, report=self.report, progress=progress)
        run = self.run(spec, recovery).id
        # the steps on the way are runs too, which can be compared and taken away
        extra = course(found)
        if self.keeper.store is not None:
            extra |= keep_weights(self, spec, recovery, found.result, self.folder(run))
        if found.before is not None and found.recalibrated is not None:
            shift = Shift.between(found.before, found.recalibrated)
            extra |= {} if shift is None else {"shift": shift.to_dict()}
        self._told[run] = extra
        return Made(found.model, found.result.achieved.sparsity, found.result.after), extra

    def _make(self, spec: PruneSpec | None, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Make a model, and hold it: it meets the test images next."""
        made, extra = super()._make(spec, recovery, progress)
        self._made = self.run(spec, recovery).id, made.model
        return made, extra

    def _test(self, run: str, spec: PruneSpec | None, recovery: Recovery) -> Evaluation | None:
        """Return the accuracy on all test images: the last word."""
        test, metric = self.data.test, self.task.headline.name
        hashed = data_hash(test)
        kept: Evaluation | None = self.keeper.ask(
            lambda store: (
                store.quality(run, hashed, "test", len(test), self.versions, metric)
                or self._elsewhere(store, run, hashed, "test", len(test))
            )
        )
        if kept is not None:
            return kept
        if spec is None:
            model = self.model
        elif self._made is not None and self._made[0] == run:
            model = self._made[1]
        elif is_folder(self.folder(run)):
            model = load_model(str(self.folder(run)))
        else:  # its accuracy on other images was stored
            model = self._make(spec, recovery, self.progress)[0].model
        found = evaluate(model, test, progress=self.progress)
        seen = Measurement.of(run, found, self.data_id.to_dict(), hashed, "test", versions=self.versions)
        self.keeper.ask(lambda store: store.put_measurement(seen))
        return found


def keep_weights(experiment: Experiment, spec: PruneSpec, recovery: Recovery, result: PruneResult, folder: Path) -> dict[str, str]:
    """Keep recovered weights beside the store, and which channels they are; a full disk costs the file, not the result."""
    try:
        model, data = experiment.model_id.to_dict(), experiment.data_id.to_dict()
        recipe = Recipe(model, data, spec, recovery.to_dict(), noted(result.input_shape))
        return {"file": write_folder(folder, result.model, recipe, layers_of(result), samples=samples_of(experiment.data)).name}
    except (PrunekitError, OSError) as error:
        experiment.keeper.progress.warn(f"the recovered weights could not be kept: {error}")
        return {}


def packed(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, to travel."""
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.is_dir() else {}


def unpack(files: dict[str, bytes], folder: Path, progress: Progress) -> None:
    """Write what travelled as a folder, whole or not at all."""
    try:
        with draft(folder) as beside:
            (beside / "new").mkdir()
            for name, content in files.items():
                (beside / "new" / name).write_bytes(content)
            put(beside / "new", folder)
    except OSError as error:
        progress.warn(f"the recovered weights could not be kept: {error}")


def epoch_of(row: dict[str, Any]) -> Epoch:
    """Return an epoch from the learning curve of a run; which images were right is not kept."""
    told = row.get("validation")
    accuracy = None if told is None else _untold(told)
    plain = {name: row[name] for name in ("number", "sparsity", "lr", "loss")}
    trained = row["train_accuracy"] if "train_accuracy" in row else row["train_quality"]  # as it was called earlier
    return Epoch(**plain, train_quality=trained, validation=accuracy, seconds=float(row.get("seconds", 0.0)))


def _untold(told: dict[str, Any]) -> Evaluation:
    """Return a quality of which only its interval was noted."""
    low, high = (float("nan") if told[name] is None else told[name] for name in ("low", "high"))
    return Evaluation(told["value"], low, high, int(told["n"]), _UNSEEN, told_metric(told))
