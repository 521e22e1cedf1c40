"""Measurements: accuracy with its interval, sizes, sweeps and latency."""

from prunekit.measure.accuracy import Accuracy, Predictions, evaluate, predict, wilson
from prunekit.measure.forward import Cancelled
from prunekit.measure.paired import Difference, compare

__all__ = ["Accuracy", "Cancelled", "Difference", "Predictions", "compare", "evaluate", "predict", "wilson"]
