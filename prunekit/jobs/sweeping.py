"""The kinds "sweep" and "accuracy"."""

from __future__ import annotations

from typing import Any

from prunekit.jobs.job import Job
from prunekit.jobs.kinds import kind
from prunekit.measure.sweep import SweepPoint
from prunekit.runs import AccuracyRequest, SweepRequest, carry_out, measure_one


@kind("sweep")
def sweep(request: dict[str, Any], job: Job) -> list[SweepPoint]:
    """Carry out a `SweepRequest`; its points are the partial results."""
    return carry_out(SweepRequest.from_dict(request), job.store, job.progress, job.cancel, job.add, warn=job.warn)


@kind("accuracy")
def accuracy(request: dict[str, Any], job: Job) -> SweepPoint:
    """Carry out an `AccuracyRequest`."""
    return measure_one(AccuracyRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn)
