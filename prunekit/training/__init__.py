"""Training after pruning: BatchNorm recalibration, fine-tuning, gradual schedules, and training from scratch."""

from prunekit.training.batchnorm import recalibrate
from prunekit.training.fine_tuning import fine_tune
from prunekit.training.from_scratch import train
from prunekit.training.gradual import recover
from prunekit.training.gradual import recover as prune_and_recover
from prunekit.training.result import Epoch, Recovered, Tuned
from prunekit.training.trainer import Report

__all__ = [
    "Epoch",
    "Recovered",
    "Report",
    "Tuned",
    "fine_tune",
    "prune_and_recover",
    "recalibrate",
    "recover",
    "train",
]
