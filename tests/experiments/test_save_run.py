"""Saving keeps what was made, what was measured and that somebody asked for it, also when two do so at once."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from prunekit.comparison.compare_runs import compare_runs
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, RunGone, StoreError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.before_after import assess
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments import save_run
from prunekit.experiments.backfill import fill
from prunekit.experiments.home import store, weights_folder
from prunekit.experiments.identity import data_hash
from prunekit.experiments.jobs.board import Board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.jobs.work import _store
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import in_passing
from prunekit.experiments.run_structure import structure_of
from prunekit.experiments.save_run import save
from prunekit.experiments.sweep_run import measure_one
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune

CNN, DIGITS = ModelId("digits_cnn"), DataId("digits")
CHANNELS, WEIGHTS = PruneSpec(mode="structured", sparsity=0.5), PruneSpec(sparsity=0.8)


def asked(spec=CHANNELS, recovery=None, **more):
    return AccuracyRequest(CNN, DIGITS, spec, recovery or Recovery(), **more)


@pytest.mark.parametrize(
    "spec", [CHANNELS, WEIGHTS, PruneSpec(mode="nm", pattern="2:4"), None], ids=["channels", "weights", "2:4", "dense"]
)
def test_what_is_saved_is_what_the_core_makes_and_measures(kept, model, data, spec):
    run = save(asked(spec), kept)
    assert kept.label(run.id).saved and run.id not in in_passing(kept)
    result = None if spec is None else prune(model, spec)
    made = model if result is None else result.model
    expected = evaluate(made, data.test)
    assert np.array_equal(kept.quality(run.id, data_hash(data.test), "test", expected.n).correct, expected.correct)
    sizes = assess(model, prune(model, spec or WEIGHTS))
    assert run.info["sizes"] == (sizes.before if spec is None else sizes.after).sizes.to_dict()
    assert run.info["state"] == state_hash(made) == state_hash(open_run(run, kept).model)
    if spec is not None:
        dense = kept.get_run(run.parent)
        assert dense.info["sizes"] == sizes.before.sizes.to_dict() and not kept.label(dense.id).saved
        assert np.array_equal(kept.quality(dense.id, data_hash(data.test), "test", expected.n).correct, evaluate(model, data.test).correct)


def test_a_point_of_a_curve_is_saved_without_making_it_again(kept, monkeypatch):
    point = measure_one(asked(), kept)
    assert in_passing(kept) == {point.run}
    monkeypatch.setattr(save_run, "recover", lambda *_, **__: pytest.fail("made again"))
    run = save(asked(split="validation", images=7), kept)
    assert run.id == point.run and in_passing(kept) == set() and "sizes" in run.info
    before = kept.all_measurements()
    kept.relabel(run.id, tags=("mine",))
    assert save(asked(), kept) == run and kept.all_measurements() == before
    assert kept.label(run.id).tags == ("mine",) and kept.label(run.id).saved


def test_a_saved_recovery_opens_again_with_its_channels(kept, data):
    run = save(asked(recovery=Recovery(epochs=1)), kept)
    opened = open_run(run, kept)
    expected = kept.quality(run.id, data_hash(data.test), "test", len(data.test))
    assert np.array_equal(evaluate(opened.model, data.test).correct, expected.correct)
    assert structure_of(opened, kept).kept is not None and len(run.info["history"]) == 1
    again = recover_through(asked(recovery=Recovery(epochs=1), split="test"), kept)
    assert again[-1].run == run.id and np.array_equal(again[-1].accuracy.correct, expected.correct)


def test_a_recovery_whose_weights_were_not_kept_is_made_again(kept):
    recovery = Recovery(recalibrate=True, images=64)
    point = measure_one(asked(recovery=recovery), kept)
    with pytest.raises(RunGone):
        open_run(point.run, kept)
    run = save(asked(recovery=recovery), kept)
    assert run.id == point.run and state_hash(open_run(run, kept).model) == run.info["state"]
    assert weights_folder(run.id).is_dir()


def test_stopping_keeps_nothing(kept):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        save(asked(recovery=Recovery(epochs=1)), kept, progress=Progress(cancel=cancel))
    assert kept.runs() == [] and kept.labels() == {}


def test_a_model_of_ones_own_is_opened_again_from_another_folder(kept, tmp_path, monkeypatch):
    made = "nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    (tmp_path / "mine.py").write_text(f"from torch import nn\n\n\ndef make():\n    return {made}\n\n\nmake.input_shape = (1, 8, 8)\n")
    monkeypatch.chdir(tmp_path)
    run = save(AccuracyRequest(ModelId("mine.py:make"), DIGITS, WEIGHTS), kept)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert state_hash(open_run(run, kept).model) == run.info["state"]


def save_all(sparsities):
    """Be one of two processes that save, and return the runs."""
    where, found = store(), []
    for sparsity in sparsities:
        recovery = Recovery(recalibrate=True, images=64) if sparsity == 0.5 else Recovery()
        found.append(save(asked(PruneSpec(mode="structured", sparsity=sparsity), recovery), where).id)
    return found


def test_two_processes_that_save_at_once_both_land(kept, forker):
    found = forker.at_once("tests.experiments.test_save_run:save_all", [([0.2, 0.5, 0.4],), ([0.3, 0.5, 0.4],)])
    assert found[0][1:] == found[1][1:] and found[0][0] != found[1][0]
    names = {name for out in found for name in out}
    assert {run for run, label in kept.labels().items() if label.saved} == names and len(names) == 4
    for name in names:
        assert state_hash(open_run(name, kept).model) == kept.get_run(name).info["state"]


# --- as a job ---


def ended(job):
    end = time.monotonic() + 240
    while job.state in ("waiting", "running"):
        assert time.monotonic() < end, "it never ended"
        time.sleep(0.02)
    return job


def test_saving_is_a_job_that_its_row_describes(kept):
    board = Board(kept)
    try:
        request = json.loads(json.dumps(asked(WEIGHTS, split="test").to_dict()))
        job = board.submit("save", request, "Save", "me")
        assert ended(job).state == "done", job.error
        assert kept.label(job.result.id).saved
        point = measure_one(asked(split="validation"), kept)
        lost = measure_one(asked(recovery=Recovery(recalibrate=True, images=64), split="validation"), kept)
        plain = {"runs": [point.run, lost.run], "data": DIGITS.to_dict(), "split": "test"}
        job = board.submit("fill", plain, "Fill", "me")
        assert ended(job).state == "done", job.error
        assert "sizes" in kept.get_run(point.run).info and lost.run[:12] in job.warning
    finally:
        board.close()


def test_without_a_store_nothing_can_be_saved():
    with pytest.raises(StoreError, match="set PRUNEKIT_HOME"):
        _store(Job("key", "title"))


def test_without_data_all_but_the_accuracy_is_kept_and_it_is_measured_once_there_are_data(kept, model, data):
    run = save(AccuracyRequest(CNN, None, WEIGHTS), kept, called="without")
    assert kept.label(run.id).saved and kept.find("without") == run and kept.measurements(run.id) == []
    assert run.info["sizes"] == assess(model, prune(model, WEIGHTS)).after.sizes.to_dict()
    dense = kept.get_run(run.parent)
    assert save(AccuracyRequest(CNN, None, None), kept).id == dense.id
    found = compare_runs([dense.id, run.id], kept)
    assert found.best == "" and "not measured" in found.answer and set(found.missing) == {dense.id, run.id}
    fill(found.to_fill, DIGITS, "test", kept)
    assert compare_runs([dense.id, run.id], kept).column("A").accuracy.value == evaluate(prune(model, WEIGHTS).model, data.test).value
    assert save(asked(WEIGHTS), kept).id == run.id, "it is the same run"
    with pytest.raises(DataError, match="no data to measure"):
        measure_one(AccuracyRequest(CNN, None, WEIGHTS), kept)


def test_a_run_made_for_other_samples_is_not_measured_on_these(kept):
    run = save(AccuracyRequest(CNN, None, WEIGHTS), kept)
    kept.put_run(replace(run, info={"input_shape": [1, 16, 16]}))
    with pytest.raises(DataError, match="made for samples of 1 × 16 × 16, and those of digits are 1 × 8 × 8"):
        fill([run.id], DIGITS, "test", kept)
