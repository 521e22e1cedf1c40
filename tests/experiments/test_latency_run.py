"""A latency belongs to the run that was timed; measured again, it replaces."""

from dataclasses import replace

import numpy as np
import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import StoreError
from prunekit.evaluation.before_after import assess
from prunekit.evaluation.progress import Progress
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.latency_run import Timed, keep_latency, keep_timed
from prunekit.experiments.load_run import open_run
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.models.load import load_model
from prunekit.pruning.api import prune

DENSE = Run("a" * 64, "dense", "a model", {"name": "m"}, "w")
SMALL = Run("b" * 64, "pruned", "half of it", {"name": "m"}, "w", {"sparsity": 0.5}, parent=DENSE.id)
NAMES = {"dense": DENSE.id, "smaller": SMALL.id}


def row(name, ms, *, runtime="eager", batch=1, ratio=None, error=None):
    if error is not None:
        return CandidateLatency(name, runtime, batch, 1, error)
    ratio = Ratio(ratio, ratio - 0.01, ratio + 0.01, ratio != 1) if ratio else None
    return CandidateLatency(name, runtime, batch, 1, None, (ms, ms), ms, ms, ms, ratio, 0.5)


def report(*rows, device="cpu"):
    return LatencyReport(tuple(rows), (1, 8, 8), device, (), {"eager": "torch 2", "compile": "torch 2"}, "", "noise")


def latencies(store, run):
    return [seen for seen in store.measurements(run) if seen.what == "latency"]


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs.sqlite")
    made.put_run(DENSE)
    made.put_run(SMALL)
    yield made
    made.close()


def test_each_row_is_kept_with_what_it_was_compared_with(store):
    rows = [row("dense", 2.0, ratio=1.0), row("smaller", 1.0, ratio=0.5), row("smaller", 1.0, runtime="compile", error="no compiler")]
    kept = keep_latency(report(*rows), NAMES, store)
    (small,) = latencies(store, SMALL.id)
    assert [seen.run for seen in kept] == [DENSE.id, SMALL.id] and small == kept[1]
    assert small.value["median_ms"] == 1.0 and small.value["ratio"]["value"] == 0.5 and "samples_ms" not in small.value
    assert small.value["baseline"] == {"name": "dense", "run": DENSE.id, "runtime": "eager"}
    assert (small.value["batch"], small.value["threads"], small.value["device"], small.value["input_shape"]) == (1, 1, "cpu", [1, 8, 8])
    with pytest.raises(StoreError, match="no quality but latency"):
        _ = small.evaluation


def test_measured_again_it_replaces_and_measured_otherwise_it_stands_beside(store):
    keep_latency(report(row("smaller", 1.0)), NAMES, store)
    keep_latency(report(row("smaller", 3.0)), NAMES, store)
    assert [seen.value["median_ms"] for seen in latencies(store, SMALL.id)] == [3.0]
    keep_latency(report(row("smaller", 4.0, batch=8)), NAMES, store)
    keep_latency(report(row("smaller", 5.0, runtime="compile")), NAMES, store)
    keep_latency(report(row("smaller", 6.0), device="cuda"), NAMES, store)
    keep_latency(replace(report(row("smaller", 7.0)), input_shape=(1, 9, 9)), NAMES, store)
    assert sorted(seen.value["median_ms"] for seen in latencies(store, SMALL.id)) == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert store.all_measurements("accuracy") == {}


def test_candidates_that_are_no_runs_are_left_out_and_unknown_runs_refused(store):
    assert keep_latency(report(row("dense", 1.0), row("other", 1.0)), {"dense": DENSE.id}, store)[0].run == DENSE.id
    with pytest.raises(StoreError, match="store the run before"):
        keep_latency(report(row("other", 1.0)), {"other": "c" * 64}, store)


def test_what_was_timed_becomes_runs_that_open_again(store):
    model = load_model("digits_cnn")
    data = load_data("digits", model=model)
    specs = {"masked": PruneSpec(sparsity=0.5, criterion="wanda"), "smaller": PruneSpec(mode="structured", sparsity=0.5)}
    made = {name: prune(model, spec, data) for name, spec in specs.items()}
    timed = {name: Timed(result, assess(model, result)) for name, result in made.items()}
    told = report(row("dense", 2.0, ratio=1.0), row("masked", 2.0, ratio=1.0), row("smaller", 1.0, ratio=0.5))
    found = keep_timed(told, ModelId("digits_cnn"), model, timed, Keeper(store), data=data, data_id=DataId("digits"))
    assert set(found) == {"dense", "masked", "smaller"}
    for name, run in found.items():
        opened, expected = open_run(run, store).model, made[name].model if name in made else model
        assert all(np.array_equal(a, b) for a, b in zip(opened.state_dict().values(), expected.state_dict().values(), strict=True))
        assert len(latencies(store, run)) == 1 and set(store.get_run(run).info["sizes"]) >= {"dense", "gzip", "sparse", "surgery"}
    assert store.get_run(found["smaller"]).parent == found["dense"] and store.quality(found["dense"], "h", "test", 1) is None


def test_a_store_that_fails_costs_the_keeping_alone(store):
    model = load_model("digits_mlp")
    result = prune(model, PruneSpec(sparsity=0.5))
    said = []
    store.put_run = lambda _: (_ for _ in ()).throw(StoreError("the disk is full"))
    timed = {"masked": Timed(result, assess(model, result, gzip=False))}
    rows = report(row("dense", 1.0), row("masked", 1.0))
    assert keep_timed(rows, ModelId("digits_mlp"), model, timed, Keeper(store, Progress(warn=said.append))) == {}
    assert len(said) == 1 and "disk is full" in said[0]


SETTINGS = ({"batch": 1}, {"batch": 8}, {"threads": 2}, {"runtime": "compile"})


def test_each_batch_number_of_threads_and_runtime_is_a_measurement_of_its_own(store):
    rows = [replace(row("smaller", 1.0 + place), **setting) for place, setting in enumerate(SETTINGS)]
    keep_latency(report(*rows), NAMES, store)
    kept = {seen.value["median_ms"]: seen for seen in latencies(store, SMALL.id)}
    assert len(kept) == len(SETTINGS)
    for one in rows:
        seen = kept[one.median_ms]
        assert (seen.value["batch"], seen.value["threads"], seen.runtime) == (one.batch, one.threads, one.runtime)
