"""Latency: interleaved timing in worker processes, the report, ratios with their intervals."""

from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate, CandidateLatency, LatencyReport, Turns

__all__ = [
    "Candidate",
    "CandidateLatency",
    "LatencyReport",
    "Ratio",
    "Turns",
    "measure_latency",
]
