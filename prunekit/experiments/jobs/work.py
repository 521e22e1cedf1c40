"""The kinds of work that a row of the store describes: sweep, accuracy, sensitivity, recover, train, quantise, save, fill, search."""

from __future__ import annotations

from typing import Any

from prunekit.errors import StoreError
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.backfill import fill as fill_through
from prunekit.experiments.cluster.client import shared
from prunekit.experiments.jobs.job import Job, kind
from prunekit.experiments.max_sparsity_run import Answer, FurthestRequest, find_furthest
from prunekit.experiments.quantised_run import Quantised, quantise_through
from prunekit.experiments.records import Run
from prunekit.experiments.recovery_run import Stage, recover_through
from prunekit.experiments.requests import AccuracyRequest, FillRequest, RepeatsRequest, SaveRequest, SweepRequest
from prunekit.experiments.save_run import save as save_through
from prunekit.experiments.search.request import Found, SearchRequest
from prunekit.experiments.search.run import search_through
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one, sweep_seeds, sweep_through
from prunekit.experiments.training_run import Trained, TrainRequest, train_through


@kind("recover")
def recover(request: dict[str, Any], job: Job) -> list[Stage]:
    """Carry out an `AccuracyRequest` with its recovery, stage by stage; stages and epochs are the partial results."""
    asked = AccuracyRequest.from_dict(request)
    return recover_through(asked, job.store, job.progress, report=job.add, cluster=shared())


@kind("train")
def train(request: dict[str, Any], job: Job) -> Trained:
    """Carry out a `TrainRequest`; epochs are the partial results."""
    return train_through(TrainRequest.from_dict(request), job.store, job.progress, report=job.add)


@kind("quantise")
def quantise(request: dict[str, Any], job: Job) -> Quantised:
    """Carry out an `AccuracyRequest` and quantise the model that it leads to."""
    return quantise_through(AccuracyRequest.from_dict(request), job.store, job.progress)


@kind("save")
def save(request: dict[str, Any], job: Job) -> Run:
    """Carry out a `SaveRequest`."""
    asked = SaveRequest.from_dict(request)
    return save_through(asked, _store(job), job.progress, called=asked.called)


@kind("fill")
def fill(request: dict[str, Any], job: Job) -> None:
    """Carry out a `FillRequest`; what could not be measured is said together."""
    asked, said = FillRequest.from_dict(request), list[str]()

    def warn(sentence: str) -> None:
        said.append(sentence)
        job.warn("; ".join(said))

    fill_through(asked.runs, asked.data, asked.split, _store(job), sizes=asked.sizes, progress=job.progress, warn=warn)


def _store(job: Job) -> RunStore:
    """Return where a job keeps things, or raise."""
    if job.store is None:
        raise StoreError("nothing can be kept here: set PRUNEKIT_HOME to a folder that can be written, and start again")
    return job.store


@kind("sensitivity")
def sensitivity(request: dict[str, Any], job: Job) -> Sensitivity:
    """Carry out a `SensitivityRequest`; the last partial result is the picture so far."""

    def tell(so_far: Sensitivity) -> None:
        job.partial[:] = [so_far]

    return sense(SensitivityRequest.from_dict(request), job.store, job.progress, report=tell, cluster=shared())


@kind("search")
def search(request: dict[str, Any], job: Job) -> Found:
    """Carry out a `SearchRequest`; the last partial result is what is known so far."""

    def tell(so_far: Found) -> None:
        job.partial[:] = [so_far]

    return search_through(SearchRequest.from_dict(request), job.store, job.progress, report=tell, apart=job.apart, cluster=shared())


@kind("sweep")
def sweep(request: dict[str, Any], job: Job) -> list[SweepPoint]:
    """Carry out a `SweepRequest`; its points are the partial results."""
    return sweep_through(SweepRequest.from_dict(request), job.store, job.progress, job.add, cluster=shared())


@kind("repeats")
def repeats(request: dict[str, Any], job: Job) -> list[SweepPoint]:
    """Carry out the ``sweep`` of a request with ``repeats`` seeds; the later ones measure where the first one did."""
    asked = RepeatsRequest.from_dict(request)
    sweeps = sweep_seeds(asked.sweep, asked.repeats, job.store, job.progress, job.add, cluster=shared())
    return [point for points in sweeps for point in points]


@kind("furthest")
def furthest(request: dict[str, Any], job: Job) -> Answer:
    """Carry out a `FurthestRequest`."""
    return find_furthest(FurthestRequest.from_dict(request), job.store, job.progress)


@kind("accuracy")
def accuracy(request: dict[str, Any], job: Job) -> SweepPoint:
    """Carry out an `AccuracyRequest`."""
    return measure_one(AccuracyRequest.from_dict(request), job.store, job.progress)
