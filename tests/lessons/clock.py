"""A stand-in for the timing: time follows the multiplications that are carried out, zeros included."""

from __future__ import annotations

from collections.abc import Sequence

from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import Candidate, CandidateLatency, LatencyReport
from prunekit.models.cost import count


def latency_by_macs(candidates: Sequence[Candidate], *, batch: Sequence[int], **_: object) -> LatencyReport:
    """Stand in for :func:`prunekit.latency.measure`."""
    rows = tuple(_row(candidate, size, candidates[0]) for size in batch for candidate in candidates)
    return LatencyReport(rows, (1, 8, 8), "cpu", (), {}, "", "")


def _row(candidate: Candidate, batch: int, dense: Candidate) -> CandidateLatency:
    macs, whole = (count(each.model, (1, 8, 8)).macs for each in (candidate, dense))
    ratio = Ratio(macs / whole, macs / whole, macs / whole, macs != whole)
    return CandidateLatency(candidate.name, "eager", batch, 1, None, (1.0,), batch * macs / whole, 1, 1, ratio)
