"""The models of trials: made once, held while they are among the best, kept where they hold, and timed in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import Made
from prunekit.experiments.cluster.worker import Loaded
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.recovery_run import keep_weights, packed
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import course
from prunekit.experiments.search.request import Timing, Trial
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
