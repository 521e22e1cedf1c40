"""Bringing accuracy back: recalibration, fine-tuning, gradual pruning, and training from scratch."""

from prunekit.recover.fit import Report
from prunekit.recover.gradual import recover
from prunekit.recover.norms import recalibrate
from prunekit.recover.result import Epoch, Recovered, Tuned
from prunekit.recover.scratch import train
from prunekit.recover.tuning import fine_tune
from prunekit.recovery import Recovery, Training

prune_and_recover = recover  # its name where this package itself is called recover

__all__ = [
    "Epoch",
    "Recovered",
    "Recovery",
    "Report",
    "Training",
    "Tuned",
    "fine_tune",
    "prune_and_recover",
    "recalibrate",
    "recover",
    "train",
]
