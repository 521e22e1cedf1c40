"""`Objective`: what a search makes small, what it may lose, and how settings are judged by both; and the models of its trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.evaluation.max_sparsity import Confirmation, confirm, is_within
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import Made, SweepPoint
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.worker import Call, Loaded, measure_point
from prunekit.experiments.experiment import Experiment, Keeper, point_of
from prunekit.experiments.identity import digest
from prunekit.experiments.new_run import course
from prunekit.experiments.quantised_run import Quantising
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.recovery_run import keep_weights, packed
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.search.request import Found, SearchRequest, Timing, Trial
from prunekit.experiments.search.space import SPACE
from prunekit.experiments.search.study import best_of
from prunekit.experiments.store import RunStore
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.models.folder import is_folder
from prunekit.pruning.result import PruneResult
from prunekit.training.gradual import recover

TIMING_S = 10.0  # seconds that finalists are timed, beside starting and trying


class Holding(Experiment):
    """An experiment that shares the models it made with others on other samples."""

    held: dict[str, tuple[Made, dict[str, Any]]]
    results: dict[str, PruneResult]

    def made(self, spec: PruneSpec | None, recovery: Recovery, progress: Progress) -> Made:
        """Return a model."""
        return self._make(spec, recovery, progress)[0]

    def _make(self, spec: PruneSpec | None, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Make a model, unless it is there."""
        run = self.run(spec, recovery).id
        if run in self.held:
            return self.held[run]
        made, extra = super()._make(spec, recovery, progress)
        if recovery.active or (spec is not None and spec.mode == "structured"):  # a masked model is a working copy
            self.held[run] = made, extra
        return made, extra

    def _recovered(self, spec: PruneSpec, recovery: Recovery, progress: Progress) -> tuple[Made, dict[str, Any]]:
        """Prune and recover, and hold what an own folder of the model would say."""
        found = recover(self.model, spec, recovery, self.data, progress=progress)
        self.results[self.run(spec, recovery).id] = found.result
        return Made(found.model, found.result.achieved.sparsity, found.result.after), course(found)

    def write(self, spec: PruneSpec, recovery: Recovery, folder: Path, progress: Progress) -> dict[str, str]:
        """Write the weights of a trial that was recovered into a folder, unless they are there; return what its run says of them."""
        if not recovery.active or is_folder(folder):
            return {}
        run = self.run(spec, recovery).id
        if run not in self.results:  # its quality was stored
            self._make(spec, recovery, progress)
        return keep_weights(self, spec, recovery, self.results[run], folder)


Looked = tuple[list[tuple[Run, Measurement]], dict[str, bytes]]


def look(request: AccuracyRequest, loaded: Loaded, progress: Progress, few: int, allowed: float) -> Looked:
    """Try a setting on a worker: on a few samples, where there are many, and on all of them unless it falls clearly there.

    Returns what was seen, and the files of recovered weights.
    """
    assert request.spec is not None
    bare = replace(request, spec=None, recovery=Recovery())
    pair = loaded.held(bare, lambda: [Holding(replace(bare, images=n), loaded.model, loaded.data, Keeper(None)) for n in {few: 0, 0: 0}])
    held: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    found = []
    for experiment in pair:
        experiment.held, experiment.results = held
        run, accuracy = experiment.measure(request.spec, request.recovery, progress)
        found.append((run, experiment.seen(run, accuracy)))
        if falls_clearly(loaded.held((bare, experiment.images), partial(_quality, experiment)), accuracy, allowed):
            return found, {}
    with TemporaryDirectory() as name:
        pair[-1].write(request.spec, request.recovery, Path(name, "weights"), progress)
        return found, packed(Path(name, "weights"))


def _quality(experiment: Experiment) -> Evaluation:
    """Measure the dense model."""
    return experiment.measure(None, Recovery())[1]


def falls_clearly(dense: Evaluation, pruned: Evaluation, allowed: float) -> bool:
    """Whether more is lost than is allowed, chance aside."""
    drop = compare(dense, pruned)
    return bool(drop.metric.lost(drop).low > allowed)


def in_turns(experiment: Holding, finalists: Sequence[tuple[Trial, Made]], progress: Progress) -> tuple[Timing, ...]:
    """Time finalists in turns with the dense model: one sample at a time, one thread, in torch."""
    dense = experiment.made_dense()
    models = [Candidate("dense", dense.model, float(dense.counts.macs))]
    models += [Candidate(f"trial {trial.number}", made.model, float(trial.macs)) for trial, made in finalists]
    told = measure_latency(models, input_shape=experiment.shape, budget_s=TIMING_S, progress=progress).candidates
    rows = {row.name: row for row in reversed(told)}  # the first of several phases
    return tuple(
        Timing(trial.number, row.median_ms, row.ratio.value, row.ratio.low, row.ratio.high)
        for trial, _ in finalists
        if (row := rows[f"trial {trial.number}"]).ratio is not None and row.median_ms is not None
    )


ADVICE = "Take a larger trial that holds, or ask for less loss"
FEW = 512  # samples of a first look


class Objective:
    """What one search asks of its trials, measured through the store; ``silent`` measures the dense model and what is confirmed."""

    def __init__(self, request: SearchRequest, model: nn.Module, data: Any, keeper: Keeper, silent: Progress) -> None:
        self.request, self.model, self.data, self.keeper, self.silent = request, model, data, keeper, silent
        self.held: dict[str, tuple[Made, dict[str, Any]]] = {}
        self.results: dict[str, PruneResult] = {}
        self.float_of: dict[str, str] = {}  # from a quantised run to what was quantised
        self.whole = self._experiment(request.split, 0)
        self.quick = self._experiment(request.split, FEW) if self.whole.images > 2 * FEW else self.whole
        self.study = digest({"space": SPACE, "request": request.study.id, "weights": self.whole.weights, "data": self.whole.data_hash})

    def _experiment(self, split: str, images: int) -> Holding:
        """Return what measures on a part of the data."""
        request = AccuracyRequest(self.request.model, self.request.data, None, split=split, images=images)
        found = Holding(request, self.model, self.data, self.keeper)
        found.held, found.results = self.held, self.results
        return found

    @cached_property
    def last(self) -> Holding:
        """What confirms."""
        return self._experiment("test", 0)

    @cached_property
    def dense(self) -> SweepPoint:
        """The dense model on all samples that choose."""
        return self.whole.point(None, Recovery(), None, self.silent)

    @cached_property
    def dense_quick(self) -> Evaluation:
        """The dense model at a first look."""
        return self.quick.point(None, Recovery(), None, self.silent).accuracy

    @cached_property
    def allowed(self) -> float:
        """Loss that is allowed."""
        if self.request.hold is None:
            return float(self.request.lose or 0.0)
        metric, value = self.dense.accuracy.metric, self.dense.accuracy.value
        if (loss := metric.loss(value, self.request.hold)) < 0:
            more = f"to hold {metric.format(self.request.hold)} asks for more than the dense model has, {metric.format(value)}"
            raise SpecError(f"{more}: ask for less")
        return loss

    def cost(self, point: SweepPoint) -> float:
        """Return what is minimised."""
        what = {"params": point.counts.params, "macs": point.counts.macs, "latency": point.counts.macs, "bytes": point.bytes}
        return float(what[self.request.minimise])

    def so_far(self, trials: Sequence[Trial], told: Confirmation | None = None, times: Sequence[Timing] = ()) -> Found:
        """Return what is known."""
        before, dense = self.cost(self.dense), self.dense.accuracy
        return Found(self.request.minimise, self.allowed, dense, before, best_of(trials, times), told, tuple(trials), tuple(times))

    def points(self, spec: PruneSpec, recovery: Recovery, progress: Progress) -> Iterator[SweepPoint]:
        """Measure a setting on a few samples, where there are many, then on all of them; as far as asked."""
        for experiment in dict.fromkeys((self.quick, self.whole)):
            yield experiment.point(spec, recovery, None, progress)

    def brought(self, spec: PruneSpec, found: list[tuple[Run, Measurement]]) -> Iterator[SweepPoint]:
        """Keep what a worker measured, and return it as `points` does."""
        for experiment, (run, seen) in zip(dict.fromkeys((self.quick, self.whole)), found, strict=False):
            experiment.keep(run, seen, None)
            yield point_of(run, replace(seen.evaluation, task=experiment.task), spec.sparsity)

    def judged(self, number: int, points: Iterator[SweepPoint]) -> Trial:
        """Look at a few samples first; only what does not fall clearly there is measured on all of them."""
        point, dense, falls = next(points), self.dense_quick, False
        if self.quick is not self.whole:
            falls = falls_clearly(dense, point.accuracy, self.allowed)
            if not falls:
                point, dense = next(points), self.dense.accuracy
        drop = compare(dense, point.accuracy)
        loss = float(drop.metric.lost(drop).value)
        holds = not falls and is_within(drop, self.allowed)
        told = (point.accuracy.value, loss, drop.n, point.run, point.counts.params, round(point.counts.macs), point.bytes)
        return Trial(number, "holds" if holds else "falls", self.cost(point), *told)

    def in_int8(self, found: Trial, spec: PruneSpec, recovery: Recovery, progress: Progress) -> Trial:
        """Return a trial that holds in float as it is in int8, measured in its runtime."""
        made = self.whole.made(spec, recovery, progress)
        run, size, accuracy = self._quantising(spec, recovery, self.request.split).on_part(made.model, progress)
        self.float_of[run.id] = self.whole.run(spec, recovery).id
        drop = compare(self.dense.accuracy, accuracy)
        state = "holds" if is_within(drop, self.allowed) else "falls"
        loss = float(drop.metric.lost(drop).value)
        return replace(found, state=state, cost=float(size), value=accuracy.value, loss=loss, run=run.id, bytes=size)

    def _quantising(self, spec: PruneSpec | None, recovery: Recovery, split: str) -> Quantising:
        """Return what quantises and measures on a part of the data."""
        request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, split=split)
        return Quantising(request, self.model, self.data, self.keeper)

    def forget(self, trials: Sequence[Trial]) -> None:
        """Hold the models of some trials alone."""
        for run in set(self.held) - {self.float_of.get(trial.run, trial.run) for trial in trials}:
            del self.held[run]
            self.results.pop(run, None)

    def seen_on_test(self, store: RunStore, run: str) -> Evaluation | None:
        """Return what the store holds of a run on the test samples, in int8 where it is quantised."""
        found = self.last.accuracy_in(store, run)
        return found or self._quantising(None, Recovery(), "test").stored_int8(run, "test", self.last.images)

    def confirmed(self, spec: PruneSpec, recovery: Recovery, int8: bool, cluster: Cluster | None) -> Confirmation:
        """Measure a setting on all test samples, once: what is stored is read."""
        dense = self.last.point(None, Recovery(), None, self.silent).accuracy
        if int8:
            made = self.whole.made(spec, recovery, self.silent)
            seen = self._quantising(spec, recovery, "test").on_part(made.model, self.silent)[2]
            return confirm(dense, seen, self.allowed, ADVICE)
        if cluster is not None and self.last.stored(spec, recovery) is None:
            request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, "test")
            call = Call(measure_point, request, self.last.weights, self.last.data_hash, "the confirmation")
            for _, (run, found) in cluster.results([call], self.silent, model=self.model):
                self.last.keep(run, found, None)
                return confirm(dense, replace(found.evaluation, task=self.last.task), self.allowed, ADVICE)
        return confirm(dense, self.last.point(spec, recovery, None, self.silent).accuracy, self.allowed, ADVICE)
