"""Evaluation: accuracy with its interval, paired comparison, sizes, sweeps, sensitivity, how far a setting can go."""

from prunekit.evaluation.accuracy import Predictions, evaluate, predict, wilson
from prunekit.evaluation.before_after import Assessment, Snapshot, assess, document
from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.evaluation.sizes import Sizes, file_bytes, sizes
from prunekit.evaluation.sweep import Sweep, SweepPoint, sweep

__all__ = [
    "Assessment",
    "Cancelled",
    "Difference",
    "Evaluation",
    "Predictions",
    "Progress",
    "Sizes",
    "Snapshot",
    "Sweep",
    "SweepPoint",
    "accuracy_of",
    "assess",
    "compare",
    "document",
    "evaluate",
    "file_bytes",
    "predict",
    "sizes",
    "sweep",
    "wilson",
]
