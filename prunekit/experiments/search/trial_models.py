"""The models of trials: made once and held while they are among the best, and timed in turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.sweep import Made
from prunekit.experiments.experiment import Experiment
from prunekit.experiments.search.request import Timing, Trial
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate

TIMING_S = 10.0  # seconds that finalists are timed, beside starting and trying


class Holding(Experiment):
    """An experiment that shares the models it made with others on other samples."""

    held: dict[str, tuple[Made, dict[str, Any]]]

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
