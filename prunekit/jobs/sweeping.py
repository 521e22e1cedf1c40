"""The kinds "sweep" and "accuracy"."""

from __future__ import annotations

from typing import Any

from prunekit import fields as check
from prunekit.jobs.job import Job
from prunekit.jobs.kinds import kind
from prunekit.measure.forward import Progress
from prunekit.measure.sweep import SweepPoint
from prunekit.runs import AccuracyRequest, SweepRequest, carry_out, measure_one
from prunekit.runs.furthest import Answer, FurthestRequest, find_furthest


@kind("sweep")
def sweep(request: dict[str, Any], job: Job) -> list[SweepPoint]:
    """Carry out a `SweepRequest`; its points are the partial results."""
    return carry_out(SweepRequest.from_dict(request), job.store, job.progress, job.cancel, job.add, warn=job.warn)


@kind("repeats")
def repeats(request: dict[str, Any], job: Job) -> list[SweepPoint]:
    """Carry out the ``sweep`` of a request with ``repeats`` seeds; the later ones measure where the first one did."""
    check.known_keys("repeats", request, ["sweep", "repeats"])
    asked, count = SweepRequest.from_dict(request["sweep"]), check.whole("repeats", request["repeats"], 1)
    places, found = asked.sparsities, list[SweepPoint]()
    for place in range(count):
        seeded = asked.seeded(asked.spec.seed + place, places)
        found += carry_out(seeded, job.store, _part(job, place, count), job.cancel, job.add, warn=job.warn)
        places = places or tuple(point.requested for point in found[1:])
    return found


def _part(job: Job, place: int, count: int) -> Progress:
    """Return the progress of one seed as a part of all."""
    return lambda share, text: job.progress((place + share) / count, text if count == 1 else f"seed {place + 1} of {count}, {text}")


@kind("furthest")
def furthest(request: dict[str, Any], job: Job) -> Answer:
    """Carry out a `FurthestRequest`."""
    return find_furthest(FurthestRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn)


@kind("accuracy")
def accuracy(request: dict[str, Any], job: Job) -> SweepPoint:
    """Carry out an `AccuracyRequest`."""
    return measure_one(AccuracyRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn)
