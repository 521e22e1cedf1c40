"""Runs and measurements, kept for good: identities, the store, and experiments that go through it."""

from prunekit.experiments.home import home, store
from prunekit.experiments.identity import data_hash, measurement_id, run_id, trained_on, weights_of
from prunekit.experiments.records import Label, Measurement, Run
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sources import use_loader
from prunekit.experiments.store import RunStore, Stored
from prunekit.experiments.sweep_run import measure_one, sweep_through

__all__ = [
    "AccuracyRequest",
    "Label",
    "Measurement",
    "Run",
    "RunStore",
    "Stored",
    "SweepRequest",
    "data_hash",
    "home",
    "measure_one",
    "measurement_id",
    "run_id",
    "store",
    "sweep_through",
    "trained_on",
    "use_loader",
    "weights_of",
]
