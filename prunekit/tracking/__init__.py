"""Experiment trackers: one small protocol, with adapters for MLflow, Weights & Biases and TensorBoard."""

from prunekit.tracking.logged import Logged, tracked
from prunekit.tracking.tracker import TRACKERS, LogTo, Tracker, open_tracker

__all__ = ["TRACKERS", "LogTo", "Logged", "Tracker", "open_tracker", "tracked"]
