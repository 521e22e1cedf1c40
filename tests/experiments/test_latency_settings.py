"""Latencies under different settings stand beside each other, each with its own."""

from dataclasses import replace

from prunekit.experiments.latency_run import keep_latency, latencies
from tests.experiments.test_latencies import NAMES, SMALL, report, row, store

__all__ = ["store"]  # a fixture
SETTINGS = ({"batch": 1}, {"batch": 8}, {"threads": 2}, {"runtime": "compile"})


def test_each_batch_number_of_threads_and_runtime_is_a_measurement_of_its_own(store):
    rows = [replace(row("smaller", 1.0 + place), **setting) for place, setting in enumerate(SETTINGS)]
    keep_latency(report(*rows), NAMES, store)
    kept = {seen.value["median_ms"]: seen for seen in latencies(store, SMALL.id)}
    assert len(kept) == len(SETTINGS)
    for one in rows:
        seen = kept[one.median_ms]
        assert (seen.value["batch"], seen.value["threads"], seen.runtime) == (one.batch, one.threads, one.runtime)
