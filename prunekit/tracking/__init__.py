"""Experiment trackers: one small protocol, with adapters for MLflow, Weights & Biases and TensorBoard."""

from prunekit.tracking.adapters import TRACKERS, open_tracker
from prunekit.tracking.logged import Logged, tracked
from prunekit.tracking.tracker import LogTo, Tracker

__all__ = ["TRACKERS", "LogTo", "Logged", "Tracker", "open_tracker", "tracked"]
