"""What was made and measured, kept for good: identities, the store, and sweeps that go through it."""

from prunekit.runs.home import home, store
from prunekit.runs.identity import data_hash, measurement_id, run_id, trained_on, weights_of
from prunekit.runs.loading import use_loader
from prunekit.runs.records import Label, Measurement, Run
from prunekit.runs.requests import AccuracyRequest, SweepRequest
from prunekit.runs.store import RunStore, Stored
from prunekit.runs.sweep import carry_out, measure_one

__all__ = [
    "AccuracyRequest",
    "Label",
    "Measurement",
    "Run",
    "RunStore",
    "Stored",
    "SweepRequest",
    "carry_out",
    "data_hash",
    "home",
    "measure_one",
    "measurement_id",
    "run_id",
    "store",
    "trained_on",
    "use_loader",
    "weights_of",
]
