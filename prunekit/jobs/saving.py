"""The kinds "save" and "fill"."""

from __future__ import annotations

from typing import Any

from prunekit import fields as check
from prunekit.catalog.ids import DataId
from prunekit.errors import StoreError
from prunekit.jobs.job import Job
from prunekit.jobs.kinds import kind
from prunekit.runs.filling import fill as fill_through
from prunekit.runs.records import Run
from prunekit.runs.requests import AccuracyRequest
from prunekit.runs.saving import save as save_through
from prunekit.runs.store import RunStore


@kind("save")
def save(request: dict[str, Any], job: Job) -> Run:
    """Save what an `AccuracyRequest` leads to as a run."""
    return save_through(AccuracyRequest.from_dict(request), _store(job), job.progress, job.cancel)


@kind("fill")
def fill(request: dict[str, Any], job: Job) -> None:
    """Measure what ``runs`` lack on the ``split`` of the ``data``; ``sizes`` too unless it says no."""
    check.known_keys("fill", request, ["runs", "data", "split", "sizes"])
    said: list[str] = []

    def warn(sentence: str) -> None:
        said.append(sentence)
        job.warn("; ".join(said))

    asked = (request["runs"], DataId.from_dict(request["data"]), request["split"], _store(job))
    fill_through(*asked, sizes=request.get("sizes", True), progress=job.progress, cancel=job.cancel, warn=warn)


def _store(job: Job) -> RunStore:
    """Return where a job keeps things, or raise."""
    if job.store is None:
        raise StoreError("nothing can be kept here: set PRUNEKIT_HOME to a folder that can be written, and start again")
    return job.store
