"""How far a setting can go, through the store: found on one split, confirmed on the test images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from prunekit.config.fields import number
from prunekit.config.recovery import Recovery
from prunekit.evaluation.max_sparsity import Confirmation, Furthest, confirm, furthest
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.experiment import Experiment, Keeper, point_of
from prunekit.experiments.requests import Request, SweepRequest
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import known_points
from prunekit.formatting import ordinary, percent

EXPECTED = 9  # evaluations, for the progress: a bracket of 0.1 narrowed to 0.005, the test images and some room


@dataclass(frozen=True)
class FurthestRequest(Request):
    """How far a setting can go."""

    what = "furthest"
    sweep: SweepRequest  # the setting and the images that choose; what it measured is used, its own list of sparsities is not
    allowed: float  # loss that is allowed: a fraction of accuracy (0.01 is one point), of other metrics in their own unit

    def __post_init__(self) -> None:
        """Validate the loss; what the metric allows is checked where it is known."""
        object.__setattr__(self, "allowed", number("allowed", self.allowed))


@dataclass(frozen=True)
class Answer:
    """How far a setting can go."""

    found: Furthest  # on the images that choose
    run: str  # the run at that sparsity
    confirmation: Confirmation | None  # on all test images; None where they chose already

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found, told = self.found, self.confirmation
        plain = {"sparsity": found.sparsity, "drop": found.drop.to_dict(), "confident": found.confident, "sentence": found.sentence}
        test = None if told is None else {"holds": told.holds, "confident": told.confident, "sentence": told.sentence}
        return {**plain, "run": self.run, "test": test}


def find_furthest(
    request: FurthestRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    model: nn.Module | None = None,
    data: Any = None,
) -> Answer:
    """Find how far a setting can go, and confirm it."""
    sweep = request.sweep
    if model is None or data is None:
        model, data = load(sweep.model, sweep.data)
    keeper = Keeper(store, progress)
    experiment = Experiment(sweep, model, data, keeper)
    rows = keeper.ask(lambda kept: known_points(sweep, kept, experiment.weights, experiment.data_hash)) or []
    known = [point_of(row.run, row.measurement.evaluation, row.requested) for row in rows if "achieved" in row.run.info]
    asked = _Counted(progress)
    dense = experiment.point(None, Recovery(), None, asked.next("dense model"))

    def measure(sparsity: float) -> Any:
        part = asked.next(f"sparsity {ordinary(percent(sparsity))}")
        return experiment.point(sweep.at(sparsity), sweep.recovery, None, part).accuracy

    found = furthest(measure, dense.accuracy, request.allowed, known={p.requested: p.accuracy for p in known if p.requested})
    chosen = None if not found.sparsity else sweep.at(found.sparsity)
    recovery = sweep.recovery if chosen is not None else Recovery()
    run = experiment.run(chosen, recovery).id
    if sweep.split == "test":
        return Answer(found, run, None)
    last = Experiment(replace(sweep, split="test", images=0), model, data, keeper)
    whole = last.point(None, Recovery(), None, asked.next("test images, dense")).accuracy
    pruned = last.point(chosen, recovery, None, asked.next("test images")).accuracy
    return Answer(found, run, confirm(whole, pruned, request.allowed))


class _Counted:
    """Progress over evaluations whose number is not known: each takes its part of what is left."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done = progress, 0.0

    def next(self, what: str) -> Progress:
        """Return the progress of the next evaluation."""
        begin, self._done = self._done, self._done + (1 - self._done) / EXPECTED
        return self._progress.part(begin, self._done, f"{what}: ")
