"""Bringing accuracy back: recalibration, fine-tuning, gradual pruning, and training from scratch."""

from prunekit.recover.fit import Report
from prunekit.recover.gradual import recover
from prunekit.recover.norms import recalibrate
from prunekit.recover.result import Epoch, Recovered, Tuned
from prunekit.recover.tuning import fine_tune
from prunekit.recovery import Recovery

__all__ = ["Epoch", "Recovered", "Recovery", "Report", "Tuned", "fine_tune", "recalibrate", "recover"]
