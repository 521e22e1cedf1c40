"""`Experiment`: a model measured on one part of the data; each point is read from the store, or made, measured and kept."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, StoreError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import Made, Scored, SweepPoint, shape_of, split_of
from prunekit.experiments.identity import data_hash, for_task, installed, measurement_id, trained_on, weights_of
from prunekit.experiments.load_run import vouched
from prunekit.experiments.new_run import course, dense_run, facts, pruned_run
from prunekit.experiments.records import Measurement, Run, what_of
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.store import RunStore
from prunekit.models.cost import Counts, count
from prunekit.pruning.api import prune
from prunekit.tasks.resolver import resolve

QualityRequest = SweepRequest | AccuracyRequest
Place = tuple[str, int, float]
RECOVERING = 0.9  # share of a point's progress that recovery takes; the rest is measuring


class Keeper:
    """A store that may be missing or fail: what was measured stays in memory then, and one warning says so."""

    def __init__(self, store: RunStore | None, progress: Progress = QUIET) -> None:
        self.store, self.progress, self._failed = store, progress, False

    def ask(self, question: Callable[[RunStore], Any]) -> Any:
        """Return what the store answers, or None where there is none or it fails."""
        if self.store is None:
            return None
        try:
            return question(self.store)
        except StoreError as error:
            if not self._failed:
                self._failed = True
                self.progress.warn(f"{error}. Results are shown, and not kept")
            return None


class Experiment:
    """One dense model, measured on one part of the data, pruned in any way."""

    def __init__(self, request: QualityRequest, model: nn.Module, data: Any, keeper: Keeper) -> None:
        if request.data is None or data is None:
            raise DataError(f"there are no data to measure {request.model.name} on: name some")
        self.model_id, self.data_id, self.split = for_task(request.model, model, data), request.data, request.split
        self.asked = request
        self.model, self.data, self.keeper, self.progress = model, data, keeper, keeper.progress.silent
        whole = split_of(data, request.split)
        self.shape = shape_of(model, whole)
        self.part = whole.subset(request.images) if request.images else whole
        self.images = len(self.part)
        self.data_hash = data_hash(whole)
        self.weights = weights_of(model, self.shape, self.model_id.task)
        self.versions = installed(request.model.name)
        self.task = resolve(model, data)
        self._trained_on: dict[tuple[str, Recovery], str] = {}
        self._scored: tuple[PruneSpec, Scored] | None = None

    def run(self, spec: PruneSpec | None, recovery: Recovery) -> Run:
        """Return the run that a setting leads to, before anything is known of it; None is the dense model."""
        if spec is None:
            return dense_run(self.model_id, self.weights)
        key = (spec.criterion, recovery)
        if key not in self._trained_on:
            self._trained_on[key] = trained_on(self.data, spec, recovery)
        return pruned_run(self.model_id, self.weights, spec, recovery, self._trained_on[key])

    def stored(self, spec: PruneSpec | None, recovery: Recovery) -> SweepPoint | None:
        """Return a point from the store, or None where it must be measured."""
        name = self.run(spec, recovery).id
        found = self.keeper.ask(lambda store: (store.get_run(name), self.accuracy_in(store, name)))
        if found is None or found[0] is None or found[1] is None or "achieved" not in found[0].info:
            return None
        return point_of(found[0], found[1], self.requested(spec))

    def accuracy_in(self, store: RunStore, run: str) -> Evaluation | None:
        """Return what a store holds of a run on these images."""
        found = store.quality(run, self.data_hash, self.split, self.images, self.versions, self.task.headline.name)
        return None if found is None else dataclasses.replace(found, task=self.task)  # so that samples are called what they are here

    def point(self, spec: PruneSpec | None, recovery: Recovery, place: Place | None = None, progress: Progress = QUIET) -> SweepPoint:
        """Return a point: from the store, or made, measured and kept, its place in a sweep with it."""
        known = self.stored(spec, recovery)
        if known is not None:
            self._link(known, place)
            return known
        run, accuracy = self.measure(spec, recovery, progress)
        self.keep(run, self.seen(run, accuracy), place)
        return point_of(run, accuracy, self.requested(spec))

    def measure(self, spec: PruneSpec | None, recovery: Recovery, progress: Progress = QUIET) -> tuple[Run, Evaluation]:
        """Make a model and measure it; nothing is kept."""
        progress.check()
        made, extra = self._make(spec, recovery, progress)
        accuracy = evaluate(made.model, self.part, progress=progress.part(RECOVERING if recovery.active else 0.0, 1.0))
        told = facts(made.model, spec, made.counts, made.sparsity, self.shape)
        told |= vouched(made.model, self.model_id, self.shape)
        run = dataclasses.replace(self.run(spec, recovery), info={**told, **extra})
        return run, accuracy

    def seen(self, run: Run, accuracy: Evaluation) -> Measurement:
        """Return what was seen of a run here, as the store keeps it."""
        return Measurement.of(run.id, accuracy, self.data_id.to_dict(), self.data_hash, self.split, versions=self.versions)

    def keep(self, run: Run, seen: Measurement, place: Place | None) -> None:
        """Commit a run, what was seen of it and its place, all at once; what it was made from with it."""
        runs = [run] if run.parent is None else [self.run(None, Recovery()), run]
        self.keeper.ask(lambda store: store.put_point(runs, seen, place))

    def check(self, spec: PruneSpec) -> None:
        """Raise where a setting cannot be carried out on this model; nothing is made."""
        self._scorer(spec).check(float(spec.sparsity or 0.0))

    def requested(self, spec: PruneSpec | None) -> float | None:
        """Return the share that was asked for: 0 for the dense model, None under a threshold."""
        return self.asked.share(spec) if isinstance(self.asked, SweepRequest) else 0.0 if spec is None else spec.sparsity

    def _scorer(self, spec: PruneSpec) -> Scored:
        """Return the scored model of a setting; only the last one is held."""
        base = spec.at(0.0)
        if self._scored is None or self._scored[0] != base:
            self._scored = (base, Scored(self.model, base, self.shape, self.data))
        return self._scored[1]

    def made_dense(self) -> Made:
        """Return the dense model, counted."""
        return Made(self.model, 0.0, count(self.model, self.shape))

    def _make(self, spec: PruneSpec | None, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Return the model of a setting, and what else is worth knowing of the run."""
        if spec is None:
            return self.made_dense(), {}
        if recovery.active:
            return self._recovered(spec, recovery, progress.part(0.0, RECOVERING))
        if spec.mode == "nm" or spec.threshold is not None:
            result = prune(self.model, spec, self.data, input_shape=self.shape)
            return Made(result.model, result.achieved.sparsity, result.after), {}
        return self._scorer(spec).at(float(spec.sparsity or 0.0)), {}

    def _recovered(self, spec: PruneSpec, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Prune and recover."""
        recover = importlib.import_module("prunekit.training").recover  # loaded by those who recover only
        found = recover(self.model, spec, recovery, self.data, progress=progress)
        return Made(found.model, found.result.achieved.sparsity, found.result.after), course(found)

    def _link(self, point: SweepPoint, place: Place | None) -> None:
        """Note the place of a stored point in a sweep, unless it is noted already."""
        if place is not None:
            what = what_of(self.task.headline.name)
            seen = measurement_id(point.run, self.data_hash, self.split, self.images, what=what, versions=self.versions)
            self.keeper.ask(lambda store: store.link(place, point.run, seen))


def point_of(run: Run, accuracy: Evaluation, requested: float | None = None) -> SweepPoint:
    """Return a run and its accuracy as a point; under a threshold what was reached stands for what was asked."""
    counts = Counts(**{f.name: run.info[f.name] for f in dataclasses.fields(Counts)})
    achieved = float(run.info["achieved"])
    seed = 0 if run.spec is None else int(run.spec["seed"])
    size = int(run.info.get("bytes", 0))
    return SweepPoint(achieved if requested is None else requested, achieved, accuracy, counts, run.id, seed, size)
