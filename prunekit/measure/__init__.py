"""Measurements: accuracy with its interval, sizes, sweeps and latency."""

from prunekit.measure.accuracy import Accuracy, Predictions, evaluate, predict, wilson
from prunekit.measure.assess import Assessment, Snapshot, assess, document
from prunekit.measure.forward import Cancelled
from prunekit.measure.latency import latency
from prunekit.measure.latency_report import Candidate, CandidateLatency, LatencyReport, Turns
from prunekit.measure.paired import Difference, compare
from prunekit.measure.ratios import Ratio
from prunekit.measure.sizes import Sizes, file_bytes, sizes
from prunekit.measure.sweep import SweepPoint, sweep

__all__ = [
    "Accuracy",
    "Assessment",
    "Cancelled",
    "Candidate",
    "CandidateLatency",
    "Difference",
    "LatencyReport",
    "Predictions",
    "Ratio",
    "Sizes",
    "Snapshot",
    "SweepPoint",
    "Turns",
    "assess",
    "compare",
    "document",
    "evaluate",
    "file_bytes",
    "latency",
    "predict",
    "sizes",
    "sweep",
    "wilson",
]
