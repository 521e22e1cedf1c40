"""Figures side by side are those of the store, on the same images, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.metrics import METRICS, letters
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError, StoreError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import accuracy_of
from prunekit.experiments.home import home
from prunekit.reports.table import groups
from tests.comparison.made import DIGITS, at, dense, pruned, seen, store_of, timed

RNG = np.random.default_rng(0)
RIGHT = RNG.random((4, 200)) < 0.8


def test_letters_follow_the_order_of_picking_and_the_dense_model_takes_none() -> None:
    assert letters(["x", "y", "x", "d", "z"], "d") == {"d": "Dense", "x": "A", "y": "B", "z": "C"}
    with pytest.raises(PrunekitError, match="at most 6"):
        letters([str(i) for i in range(7)])


def test_each_column_holds_what_was_measured_and_differences_are_paired(tmp_path: Path) -> None:
    runs = at(0.5, 0.9)
    store = store_of(tmp_path, *runs)
    for run, right in zip((dense(), *runs), RIGHT, strict=False):
        store.put_measurement(seen(run, right))
    found = compare_runs([run.id[:12] for run in runs], store)
    assert [column.letter for column in found.all] == ["Dense", "A", "B"] and [c.run.id for c in found.columns] == [r.id for r in runs]
    base = accuracy_of(RIGHT[0])
    for column, right in zip(found.all, RIGHT, strict=False):
        assert column.accuracy == accuracy_of(right)
        assert column.difference == (None if column.letter == "Dense" else compare(base, accuracy_of(right)))
    assert (found.data, found.data_id, found.split, found.images) == ("digits", DIGITS, "test", 200)
    json.dumps(found.to_dict(), allow_nan=False)


def test_accuracy_is_taken_on_the_images_that_most_were_measured_on(tmp_path: Path) -> None:
    runs = at(0.5, 0.7, 0.9)
    store = store_of(tmp_path, *runs)
    for run in (dense(), *runs[:2]):
        store.put_measurement(seen(run, RIGHT[0][:50]))
    for run in (dense(), runs[2]):
        store.put_measurement(seen(run, RIGHT[1]))
    store.put_measurement(seen(runs[2], RIGHT[1], split="validation"))
    found = compare_runs([run.id for run in runs], store)
    assert found.images == 50 and [c.accuracy is None for c in found.all] == [False, False, False, True]
    assert runs[2].id in found.missing and found.columns[2].difference is None
    store.put_measurement(seen(runs[2], RIGHT[2][:50]))
    for run in runs[:2]:
        store.put_measurement(seen(run, RIGHT[2]))
    assert compare_runs([run.id for run in runs], store).images == 200  # among equals the most images


def test_only_the_named_data_and_split_count(tmp_path: Path) -> None:
    runs = at(0.5, 0.9)
    store = store_of(tmp_path, *runs)
    other = {**DIGITS, "name": "mnist"}
    for run in (dense(), *runs):
        store.put_measurement(seen(run, RIGHT[0]))
        store.put_measurement(seen(run, RIGHT[1][:90], "v", "validation"))
    store.put_measurement(seen(runs[0], RIGHT[2][:10], "m", data=other))
    ids = [run.id for run in runs]
    assert compare_runs(ids, store, split="validation").images == 90
    only = compare_runs(ids, store, data="mnist")
    assert only.images == 10 and only.columns[1].accuracy is None and set(only.missing) == {dense().id, *ids}
    nothing = compare_runs(ids, store, data="cifar10")
    assert nothing.images == 0 and nothing.data == "" and all(column.accuracy is None for column in nothing.all)


def test_what_was_never_measured_is_none_and_counts_are_those_of_the_run(tmp_path: Path) -> None:
    one = pruned(PruneSpec(sparsity=0.5), nonzero=60, sparsity=0.5, bytes=700)
    two = pruned(PruneSpec(mode="structured", sparsity=0.5), params=50, nonzero=50, prunable=40, macs=500, bytes=600)
    bare = replace(pruned(PruneSpec(sparsity=0.1)), info={})
    found = compare_runs([run.id for run in (one, two, bare)], store_of(tmp_path, one, two, bare))
    a, b, c = found.columns
    assert (a.params, a.nonzero, a.sparsity) == (100, 60, 0.5) and (b.params, b.macs, b.sparsity) == (50, 500, 0.5)
    assert a.shipped is not None and b.shipped is not None
    assert (a.shipped.bytes, b.shipped.bytes) == (700, 600) and a.shipped.how != b.shipped.how
    assert (a.of_all, b.of_all, c.of_all) == (0.4, 0.5, None), "zero or gone, of all parameters of the dense model"
    assert c.params is c.sparsity is c.shipped is c.sizes is c.accuracy is c.speed is None
    assert set(found.missing) == set(found.to_fill) == {dense().id, one.id, two.id, bare.id}
    assert np.isnan(found.to_frame()["C"]).all() and np.isnan(found.to_frame(relative=True)["C"]).all()


def test_the_size_to_ship_is_the_one_of_the_form(tmp_path: Path) -> None:
    sizes = {"dense": 1000, "gzip": 300, "sparse": 200, "surgery": 400}
    masked, smaller = pruned(PruneSpec(sparsity=0.5), sizes=sizes), pruned(PruneSpec(mode="structured", sparsity=0.5), sizes=sizes)
    int8 = {"dense": None, "gzip": 90, "sparse": None, "surgery": 100}
    quantised = replace(masked, id="f" * 64, kind="quantised", parent=masked.id, info={"file": "model.int8.onnx", "sizes": int8})
    store = store_of(tmp_path, masked, smaller, quantised)
    store.put_run(dense(sizes={**sizes, "sparse": 1000, "surgery": 1000}))
    found = compare_runs([masked.id, smaller.id, quantised.id], store)
    assert [column.shipped and column.shipped.bytes for column in found.all] == [1000, 200, 400, 100]


def test_relative_figures_are_multiples_of_the_dense_models_and_accuracy_its_paired_difference(tmp_path: Path) -> None:
    runs = at(0.5, 0.9, nonzero=25, sparsity=0.75, bytes=500)
    store = store_of(tmp_path, *runs)
    store.put_run(dense(bytes=1000))
    for run, right in zip((dense(), *runs), RIGHT, strict=False):
        store.put_measurement(seen(run, right))
    found = compare_runs([run.id for run in runs], store)
    plain, relative = found.to_frame(), found.to_frame(relative=True)
    assert list(plain.index) == list(METRICS) and list(plain.columns) == ["Dense", "A", "B"]
    for name in ("nonzero", "params", "macs", "shipped"):
        assert np.allclose(relative.loc[name], plain.loc[name] / plain.loc[name, "Dense"])
    assert np.allclose(relative.loc["accuracy"], plain.loc["accuracy"] - plain.loc["accuracy", "Dense"])
    assert np.allclose(relative.loc["sparsity"], [0, 0.75, 0.75])
    assert np.allclose(relative.loc["of_all"], [0, 0.75, 0.75])


def test_speed_counts_only_where_it_was_timed_here_against_dense_in_the_same_runtime(tmp_path: Path) -> None:
    runs = at(0.5, 0.6, 0.7, 0.8, 0.9)
    store = store_of(tmp_path, *runs)
    base, (a, b, c, d, e) = dense(), runs
    for measured in (
        timed(a, 0.5, base),
        timed(a, 0.9, base, created="2020-01-01T00:00:00+00:00"),
        timed(b, 0.4, base, machine={"cpu": "another"}),
        timed(c, 0.3, base, runtime="onnxruntime", base_runtime="eager"),
        timed(d, 0.2, a),
        timed(e, 0.7, base),
        timed(e, 0.1, base, batch=8),
    ):
        store.put_measurement(measured)
    found = compare_runs([run.id for run in runs], store)
    assert [column.speed and column.speed.ratio for column in found.all] == [1.0, 0.5, None, None, None, 0.7]
    assert all(column.speed is None or column.speed.where() == "eager, batch 1, 1 thread, cpu" for column in found.all)
    assert [len(column.latency) for column in found.columns] == [2, 1, 1, 1, 2]  # all that was timed stays in view


def test_runs_of_other_models_too_few_and_too_many_are_refused_in_words(tmp_path: Path) -> None:
    runs = at(*(0.1 * i for i in range(1, 8)))
    foreign = replace(runs[0], id="0" * 64, weights="cd" * 32, model={"name": "resnet20"}, parent=None)
    store = store_of(tmp_path, *runs, foreign)
    with pytest.raises(PrunekitError, match="2 to 6 different runs"):
        compare_runs([runs[0].id, runs[0].id], store)
    with pytest.raises(PrunekitError, match="got 7"):
        compare_runs([run.id for run in runs], store)
    with pytest.raises(PrunekitError, match="different dense models"):
        compare_runs([runs[0].id, foreign.id], store)
    with pytest.raises(StoreError, match="no run"):
        compare_runs([runs[0].id, "ffffffff"], store)


def test_the_dense_model_may_be_picked_and_stands_as_the_baseline(tmp_path: Path) -> None:
    (run,) = at(0.5)
    found = compare_runs([dense().id, run.id], store_of(tmp_path, run))
    assert found.baseline.run.id == dense().id and [column.letter for column in found.columns] == ["A"]
    assert found.settings  # a single run has settings, and none that differ
    assert found.differing == () and found.caution == ""


def test_runs_without_their_dense_model_are_compared_among_each_other(tmp_path: Path) -> None:
    one, two = (replace(run, kind="imported", parent=None) for run in at(0.5, 0.9))
    for run in (one, two):
        (home() / "models" / run.id).mkdir(parents=True)
    store = store_of(tmp_path, one, two)
    store.forget(dense().id)
    for run, right in zip((one, two), RIGHT, strict=False):
        store.put_measurement(seen(run, right))
    found = compare_runs([one.id, two.id], store)
    assert found.baseline.gone and found.baseline.accuracy is None and all(c.difference is None for c in found.columns)
    assert "not compared with dense" in found.answer


def test_a_run_whose_weights_are_gone_keeps_its_figures_and_is_not_recommended(tmp_path: Path) -> None:
    lost = pruned(PruneSpec(sparsity=0.9), Recovery(epochs=1), bytes=10, file="x")
    (there,) = at(0.5, bytes=500)
    store = store_of(tmp_path, lost, there)
    store.put_run(dense(bytes=1000))
    for run in (dense(), lost, there):
        store.put_measurement(seen(run, RIGHT[0]))
    found = compare_runs([lost.id, there.id], store)
    assert found.columns[0].gone and found.columns[0].accuracy == accuracy_of(RIGHT[0])
    assert found.best == "B" and "A cannot be opened any more" in found.answer and lost.id not in found.to_fill


def test_within_another_runtime_the_ratio_to_dense_there_counts_and_is_said(tmp_path: Path) -> None:
    runs = at(0.5, 0.9)
    store, base = store_of(tmp_path, *runs), dense()
    slower = {"value": 1.05, "low": 1.03, "high": 1.07, "different": True}
    for run in runs:
        store.put_measurement(timed(run, 0.5, base))
    store.put_measurement(timed(runs[0], 0.2, base, runtime="onnxruntime", base_runtime="eager", within=slower))
    found = compare_runs([run.id for run in runs], store)
    a, b = found.columns
    assert [(s.runtime, s.ratio) for s in a.speeds] == [("eager", 0.5), ("onnxruntime", 1.05)] and a.speed == a.speeds[0]
    assert [s.runtime for s in b.speeds] == ["eager"]
    said = [sentence for sentence in found.within_runtimes if "ONNX" in sentence]
    assert said == ["In ONNX Runtime, A is 1.05× slower than dense (95 % interval 1.03 to 1.07), batch 1, 1 thread, cpu."]
    assert json.loads(json.dumps(found.to_dict()))["within_runtimes"] == list(found.within_runtimes)
    rows = {row.label: row for row in groups(found)["Time"]}
    assert [cell.text for cell in rows["Times as fast as dense, both in ONNX Runtime"].cells] == ["1.00×", "0.95×", "–"]
