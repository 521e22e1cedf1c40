"""A sweep through the store gives what the engine gives, measures nothing twice, and loses nothing when the store fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.data.load import load_data
from prunekit.errors import DataError, ModelError, PruningError, SpecError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sweep import sweep
from prunekit.experiments import experiment, sources, sweep_run
from prunekit.experiments.identity import data_hash, weights_of
from prunekit.experiments.max_sparsity_run import FurthestRequest, find_furthest
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sources import use_loader
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import known_seeds, measure_one, sweep_seeds, sweep_through
from prunekit.models.load import load_model
from prunekit.pruning.api import prune
from prunekit.training.gradual import recover
from tests import recommenders
from tests.experiments.here import Here

MODEL, DATA = ModelId("digits_mlp"), DataId("digits")
REQUEST = SweepRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5, 0.0, 0.9))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """Count how often a model is measured, and on how many images."""
    calls: list[int] = []

    def counting(model, part, **more):
        calls.append(len(part))
        return evaluate(model, part, **more)

    monkeypatch.setattr(experiment, "evaluate", counting)
    return calls


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return load_model(MODEL)


@pytest.fixture(scope="module")
def data(model: nn.Module) -> Data:
    return load_data(DATA, model=model)


def same(found, expected) -> None:
    assert [(p.requested, p.sparsity, p.accuracy, p.counts) for p in found] == [
        (p.requested, p.sparsity, p.accuracy, p.counts) for p in expected
    ]
    assert all((a.accuracy.correct == b.accuracy.correct).all() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("spec", [PruneSpec(criterion="random", seed=4), PruneSpec(mode="structured", criterion="taylor", samples=64)])
def test_points_are_those_of_the_engine_the_dense_model_first(store: RunStore, model, data, spec: PruneSpec) -> None:
    found = sweep_through(replace(REQUEST, spec=spec), store)
    same(found, list(sweep(model, spec, [0.0, 0.5, 0.9], data, split="validation")))
    assert [point.seed for point in found] == [0, spec.seed, spec.seed]


def test_what_is_stored_is_read_and_not_measured_again(store: RunStore, measured: list[int], monkeypatch) -> None:
    first = sweep_through(REQUEST, store)
    assert len(measured) == 3
    monkeypatch.setattr(experiment, "Scored", None)  # nothing is scored either
    same(sweep_through(REQUEST, store), first)
    same(sweep_through(replace(REQUEST, sparsities=(0.9,)), store), [first[0], first[2]])
    assert len(measured) == 3
    again = measure_one(AccuracyRequest(MODEL, DATA, PruneSpec(sparsity=0.5)), store)
    assert again.run == first[1].run and len(measured) == 3
    kept = [point.measurement.evaluation for point in store.points(REQUEST.id)]
    assert compare(kept[0], kept[2]) == compare(first[0].accuracy, first[2].accuracy)


def test_only_what_is_new_is_measured(store: RunStore, measured: list[int]) -> None:
    sweep_through(REQUEST, store)
    more = replace(REQUEST, sparsities=(0.9, 0.3))
    sweep_through(more, store)
    assert len(measured) == 4
    assert [point.requested for point in store.points(more.id)] == [0.0, 0.9, 0.3]
    for other in (replace(REQUEST, split="test"), replace(REQUEST, spec=PruneSpec(seed=1))):
        sweep_through(replace(other, sparsities=(0.5,)), store)
    assert len(measured) == 7  # another split: both; another seed: all but the dense model


def test_every_point_is_committed_before_the_next_is_begun(store: RunStore) -> None:
    other = RunStore(store.path)
    seen: list[int] = []
    sweep_through(REQUEST, store, report=lambda point: seen.append(len(other.points(REQUEST.id))))
    assert seen == [1, 2, 3]
    other.close()


def test_cancel_keeps_what_was_measured(store: RunStore, measured: list[int]) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        sweep_through(REQUEST, store, Progress(cancel=cancel), lambda point: cancel.set())
    assert len(store.points(REQUEST.id)) == len(measured) == 1
    assert len(sweep_through(REQUEST, store)) == len(measured) == 3


def test_a_subset_is_the_fixed_stratified_one_and_kept_apart(store: RunStore, measured: list[int], model, data) -> None:
    some = replace(REQUEST, images=50, sparsities=(0.5,))
    found = sweep_through(some, store)
    expected = evaluate(prune(model, PruneSpec()).model, data.validation.subset(50))
    assert found[1].accuracy == expected and (found[1].accuracy.correct == expected.correct).all()
    sweep_through(replace(some, images=0), store)
    sweep_through(replace(some, images=10**6), store)  # more than there are is all
    assert measured == [50, 50, len(data.validation), len(data.validation)]
    assert {m.n for m in store.measurements(found[1].run)} == {50, len(data.validation)}


def test_points_go_where_the_curve_bends_and_come_back_in_the_same_order(store: RunStore, measured: list[int]) -> None:
    request = replace(REQUEST, sparsities=None, evaluations=6)
    progress: list[float] = []
    found = sweep_through(request, store, Progress(lambda share, text: progress.append(share)))
    assert len(found) == len({point.requested for point in found}) == 6 == len(measured)
    assert progress == sorted(progress) and progress[-1] == 1
    same(sweep_through(request, store), found)
    same(sweep_through(replace(request, evaluations=4), store), found[:4])
    assert len(measured) == 6


def test_workers_measure_several_points_at_once_and_whoever_asks_next_goes_on(store: RunStore, measured: list[int], model, data) -> None:
    request = replace(REQUEST, sparsities=None, evaluations=8)
    workers, progress = Here(3, MODEL, model, data), list[float]()

    class Stop(Exception):
        pass

    def stop(_) -> None:
        if len(measured) == 5:  # of two that were asked for at once the last has come
            raise Stop

    with pytest.raises(Stop):
        sweep_through(request, store, report=stop, model=model, data=data, cluster=workers)
    assert workers.rounds == [2, 1, 1, 2] and [row.position for row in store.points(request.id)] == [0, 1, 2, 3, 5]
    found = sweep_through(request, store, Progress(lambda share, _: progress.append(share)), model=model, data=data, cluster=workers)
    assert len(found) == len({point.requested for point in found}) == 8 == len(measured) and workers.rounds == [2, 1, 1, 2, 2, 1]
    assert [row.position for row in store.points(request.id)] == list(range(8)) and progress == sorted(progress)
    same(sweep_through(request, store), found)
    assert len(measured) == 8, "wherever points were chosen, they are the sweep's"


def test_fixed_shares_of_layers_bound_where_points_go(store: RunStore, model, data) -> None:
    spec = PruneSpec(overrides={"fc1": 0.5})
    found = sweep_through(replace(REQUEST, spec=spec, sparsities=None, evaluations=4), store)
    for point in found[1:]:
        same([point], list(sweep(model, spec, [point.requested], data, split="validation")))
    with pytest.raises(PruningError, match="Raise sparsity"):
        sweep_through(replace(REQUEST, spec=spec, sparsities=(0.6, 0.0)), None, report=lambda point: pytest.fail("measured"))


def test_recovery_is_carried_out_once_and_its_curve_kept(store: RunStore, measured: list[int], model, data) -> None:
    recovery = Recovery(epochs=1, seed=2)
    request = replace(REQUEST, recovery=recovery, sparsities=(0.0, 0.9))
    found = sweep_through(request, store)
    assert [point.requested for point in found] == [0.0, 0.0, 0.9]  # tuned and not pruned is another model than the dense one
    alone = recover(model, PruneSpec(sparsity=0.9), recovery, data)
    assert (found[2].accuracy.correct == evaluate(alone.model, data.validation).correct).all()
    run = store.get_run(found[2].run)
    assert run is not None and run.kind == "recovered" and run.parent == found[0].run and run.recovery == recovery.to_dict()
    assert [row["loss"] for row in run.info["history"]] == [epoch.loss for epoch in alone.history]
    same(sweep_through(request, store), found)
    assert len(measured) == 3


@pytest.mark.parametrize("spec", [None, PruneSpec(threshold=0.05), PruneSpec(mode="nm"), PruneSpec(mode="structured", sparsity=0.4)])
def test_one_accuracy_is_what_pruning_alone_gives(store: RunStore, measured: list[int], model, data, spec: PruneSpec | None) -> None:
    request = AccuracyRequest(MODEL, DATA, spec)
    found = measure_one(request, store)
    alone = model if spec is None else prune(model, spec, data).model
    assert found.accuracy == evaluate(alone, data.validation)
    same([measure_one(request, store)], [found])
    assert len(measured) == 1
    run = store.get_run(found.run)
    assert run is not None and (run.kind, run.parent is None) == (("dense", True) if spec is None else ("pruned", False))


def test_a_store_that_fails_costs_no_point_and_warns_once(store: RunStore) -> None:
    request = replace(REQUEST, sparsities=tuple(i / 20 for i in range(1, 20)))
    expected = sweep_through(request, None)
    store.database.read(f"PRAGMA max_page_count = {store.database.read('PRAGMA page_count')[0][0] + 4}")
    said: list[str] = []
    seen: list[float] = []
    found = sweep_through(request, store, report=lambda point: seen.append(point.requested), progress=Progress(warn=said.append))
    assert len(said) == 1 and "disk is full" in said[0] and "Results are shown, and not kept" in said[0]
    same(found, expected)
    assert seen == [0.0, *request.sparsities]
    assert 0 < len(store.points(request.id)) < 20
    store.close()
    same(sweep_through(request, store, progress=Progress(warn=said.append)), expected)
    assert len(said) == 2


def test_a_model_that_changed_under_its_name_is_measured_anew(store: RunStore, measured: list[int], tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    lines = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, {}), nn.Linear({}, 10))\n"
    tail = "make.input_shape, make.mean, make.std = (1, 8, 8), (0.5,), (0.5,)\n"
    file.write_text(lines.format(20, 20) + tail)
    request = replace(REQUEST, model=ModelId(f"{file}:make"), sparsities=(0.5,))
    before = sweep_through(request, store)
    file.write_text(lines.format(200, 200) + tail)
    after = sweep_through(request, store)
    assert len(measured) == 4
    assert [p.run.id for p in store.points(request.id)] == [p.run for p in after] != [p.run for p in before]


def test_what_is_gone_is_said(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.py"):
        sweep_through(replace(REQUEST, model=ModelId(f"{tmp_path}/gone.py:make")), store)
    with pytest.raises(DataError, match="no_such_data"):
        sweep_through(replace(REQUEST, data=DataId("no_such_data")), store)


def test_models_and_data_can_come_from_whoever_keeps_them(store: RunStore, model, data) -> None:
    asked: list[tuple[ModelId, DataId]] = []

    def keeper(model_id: ModelId, data_id: DataId) -> tuple[nn.Module, Data]:
        asked.append((model_id, data_id))
        return model, data

    use_loader(keeper)
    try:
        sweep_through(replace(REQUEST, model=ModelId("digits_mlp", weights="upload:abc")), store)
    finally:
        use_loader(sources.fresh)
    assert asked == [(ModelId("digits_mlp", weights="upload:abc"), DATA)]


def test_where_the_dense_point_alone_is_known_no_later_seed_is_looked_for(monkeypatch) -> None:
    asked, dense = [], SimpleNamespace(requested=0.0, run=SimpleNamespace(info={}))
    monkeypatch.setattr(sweep_run, "known_points", lambda request, *_: asked.append(request) or [dense])
    request = replace(REQUEST, spec=PruneSpec(criterion="random"), sparsities=None, evaluations=4)
    assert known_seeds(request, 3, None, "", "") == [] and len(asked) == 1


def test_later_seeds_are_measured_where_the_first_one_was_and_are_known_again(store: RunStore, model, data) -> None:
    request, told = replace(REQUEST, spec=PruneSpec(criterion="random"), sparsities=None, evaluations=3, images=50), list[float]()
    sweeps = sweep_seeds(request, 2, store, Progress(lambda share, _: told.append(share)))
    assert [[p.requested for p in points] for points in sweeps] == 2 * [[p.requested for p in sweeps[0]]]
    assert [points[1].seed for points in sweeps] == [0, 1] and told == sorted(told) and told[-1] == 1
    known = known_seeds(request, 2, store, weights_of(model, (1, 8, 8)), data_hash(data.validation))
    assert known == [point for points in sweeps for point in points]


def test_a_sweep_goes_over_the_rows_of_tables_and_is_called_as_before_where_it_does_not():
    file = f"{Path(recommenders.__file__)}"
    spec = PruneSpec(mode="structured", row_criterion="norm")
    model, data = ModelId(f"{file}:deepfm"), DataId(f"{file}:deepfm_data")
    request = SweepRequest(model, data, spec, split="test", sparsities=(0.0, 0.5, 0.8), over="rows")
    points = sweep_through(request, None)
    assert [point.requested for point in points] == [0.0, 0.5, 0.8], "the dense model is the point at 0"
    assert [point.sparsity for point in points] == pytest.approx([0.0, 0.5, 0.8], abs=0.02)
    assert points[0].counts.params > points[1].counts.params > points[2].counts.params and points[0].counts.macs == points[2].counts.macs
    assert SweepRequest.from_dict(request.to_dict()) == request and request.id != replace(request, over="sparsity").id
    assert "over" not in replace(request, over="sparsity").to_dict(), "so that those of an earlier time are found"
    found = find_furthest(FurthestRequest(replace(request, sparsities=None), 1.0), None)
    assert found.found.sparsity > 0.9, "a loss of everything is allowed"
    with pytest.raises(SpecError, match="rows"):
        SweepRequest(model, data, PruneSpec(), over="rows")
