"""The kinds "recover", "train" and "quantise"."""

from __future__ import annotations

from typing import Any

from prunekit.jobs.job import Job
from prunekit.jobs.kinds import kind
from prunekit.runs.quantising import Quantised, quantise_through
from prunekit.runs.recovering import Stage, recover_through
from prunekit.runs.requests import AccuracyRequest
from prunekit.runs.training import Trained, TrainRequest, train_through


@kind("recover")
def recover(request: dict[str, Any], job: Job) -> list[Stage]:
    """Carry out an `AccuracyRequest` with its recovery, stage by stage; stages and epochs are the partial results."""
    asked = AccuracyRequest.from_dict(request)
    return recover_through(asked, job.store, job.progress, job.cancel, warn=job.warn, report=job.add)


@kind("train")
def train(request: dict[str, Any], job: Job) -> Trained:
    """Carry out a `TrainRequest`; epochs are the partial results."""
    return train_through(TrainRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn, report=job.add)


@kind("quantise")
def quantise(request: dict[str, Any], job: Job) -> Quantised:
    """Carry out an `AccuracyRequest` and quantise the model that it leads to."""
    return quantise_through(AccuracyRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn)
