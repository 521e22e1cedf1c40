"""Measurements: accuracy with its interval, sizes, sweeps and latency."""

from prunekit.measure.accuracy import Accuracy, Predictions, evaluate, predict, wilson
from prunekit.measure.forward import Cancelled
from prunekit.measure.paired import Difference, compare
from prunekit.measure.sizes import Sizes, file_bytes, sizes

__all__ = ["Accuracy", "Cancelled", "Difference", "Predictions", "Sizes", "compare", "evaluate", "file_bytes", "predict", "sizes", "wilson"]
