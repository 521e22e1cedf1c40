"""The kind "sensitivity"."""

from __future__ import annotations

from typing import Any

from prunekit.jobs.job import Job
from prunekit.jobs.kinds import kind
from prunekit.measure.sensitivity import Sensitivity
from prunekit.runs.sensing import SensitivityRequest, sense


@kind("sensitivity")
def sensitivity(request: dict[str, Any], job: Job) -> Sensitivity:
    """Carry out a `SensitivityRequest`; the last partial result is the picture so far."""

    def tell(so_far: Sensitivity) -> None:
        job.partial[:] = [so_far]

    return sense(SensitivityRequest.from_dict(request), job.store, job.progress, job.cancel, warn=job.warn, report=tell)
