"""What is missing is measured once, on the same images, in the runtime of each run; what is gone is skipped."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import RunGone, StoreError
from prunekit.evaluation.accuracy import Predictions, evaluate
from prunekit.evaluation.before_after import assess
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sizes import file_bytes, gzip_bytes
from prunekit.experiments import backfill, quantised_run
from prunekit.experiments.backfill import fill, pack, predictions, unpack
from prunekit.experiments.home import weights_folder
from prunekit.experiments.identity import data_hash
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.sweep_run import measure_one
from prunekit.models.load import load_model
from prunekit.pruning.api import prune
from tests.experiments.test_quantised_run import quantised_here

CNN, DIGITS = ModelId("digits_cnn"), DataId("digits")
CHANNELS, WEIGHTS = PruneSpec(mode="structured", sparsity=0.5), PruneSpec(sparsity=0.8)


def made(store, spec, recovery=None):
    return measure_one(AccuracyRequest(CNN, DIGITS, spec, recovery or Recovery(), "validation", 16), store).run


def test_accuracy_and_sizes_are_those_that_the_core_measures(kept, model, data):
    runs = [made(kept, None), made(kept, CHANNELS), made(kept, WEIGHTS)]
    fill(runs, DIGITS, "test", kept)
    hashed = data_hash(data.test)
    for run, spec in zip(runs, (None, CHANNELS, WEIGHTS), strict=True):
        found = kept.quality(run, hashed, "test", len(data.test))
        if spec is None:
            expected, sizes = evaluate(model, data.test), assess(model, prune(model, WEIGHTS)).before.sizes
        else:
            after = assess(model, prune(model, spec), data.test).after
            expected, sizes = after.accuracy, after.sizes
        assert np.array_equal(found.correct, expected.correct)
        assert kept.get_run(run).info["sizes"] == sizes.to_dict()


def test_the_sizes_of_a_recovered_run_count_what_went_as_zeros(kept, model):
    request = AccuracyRequest(CNN, DIGITS, CHANNELS, Recovery(epochs=1), "validation", 16)
    run = recover_through(request, kept)[-1].run
    fill([run], DIGITS, "test", kept)
    small = load_model(str(weights_folder(run)))
    sizes = kept.get_run(run).info["sizes"]
    assert sizes["dense"] == file_bytes(model) and sizes["surgery"] == file_bytes(small) < sizes["sparse"] + file_bytes(model)
    assert gzip_bytes(small) < sizes["gzip"] < gzip_bytes(model)


def test_what_is_there_is_not_measured_again(kept, monkeypatch):
    runs = [made(kept, None), made(kept, CHANNELS)]
    fill(runs, DIGITS, "test", kept)
    before = kept.all_measurements()
    monkeypatch.setattr(backfill, "open_run", lambda *_, **__: pytest.fail("opened again"))
    fill(runs, DIGITS, "test", kept)
    assert kept.all_measurements() == before


def test_sizes_are_left_out_where_nobody_asks_for_them(kept):
    run = made(kept, CHANNELS)
    fill([run], DIGITS, "test", kept, sizes=False)
    assert "sizes" not in kept.get_run(run).info and len(kept.measurements(run)) == 2


def test_a_run_that_is_gone_is_skipped_with_a_warning_and_the_others_are_measured(kept):
    lost = made(kept, CHANNELS, Recovery(recalibrate=True, images=64))
    there, said = made(kept, WEIGHTS), []
    fill([lost, there], DIGITS, "test", kept, warn=said.append)
    assert len(said) == 1 and lost[:12] in said[0] and "sizes" in kept.get_run(there).info
    with pytest.raises(RunGone):
        fill([lost], DIGITS, "test", kept)
    with pytest.raises(StoreError, match="no run"):
        fill(["0123456789"], DIGITS, "test", kept, warn=said.append)


def test_stopping_keeps_what_was_measured_before(kept):
    runs, cancel = [made(kept, CHANNELS), made(kept, WEIGHTS)], threading.Event()

    def stop(share, _):
        if share >= 0.5:
            cancel.set()

    with pytest.raises(Cancelled):
        fill(runs, DIGITS, "test", kept, progress=Progress(stop, cancel))
    assert len(kept.measurements(runs[0])) == 2 and len(kept.measurements(runs[1])) == 1


# --- predictions ---


def test_predictions_are_right_where_the_accuracy_says_so_and_are_read_the_second_time(kept, data, monkeypatch):
    run = made(kept, CHANNELS)
    assert predictions(run, DIGITS, "test", kept, stored=True) is None
    found = predictions(run, DIGITS, "test", kept)
    fill([run], DIGITS, "test", kept)
    right = found.classes == np.asarray(data.test.labels)
    assert np.array_equal(right, kept.quality(run, data_hash(data.test), "test", len(data.test)).correct)
    assert found.classes.dtype == np.int64
    assert (found.confidences > 1 / 10 - 1e-6).all() and (found.confidences <= 1).all()
    monkeypatch.setattr(backfill, "open_run", lambda *_, **__: pytest.fail("asked again"))
    again = predictions(run, DIGITS, "test", kept, stored=True)
    assert np.array_equal(again.classes, found.classes) and np.array_equal(again.confidences, found.confidences)


def test_predictions_are_no_accuracy(kept):
    run = made(kept, CHANNELS)
    predictions(run, DIGITS, "test", kept)
    (seen,) = kept.all_measurements("predictions")[run]
    with pytest.raises(StoreError, match="no quality but predictions"):
        _ = seen.evaluation


@given(st.lists(st.tuples(st.integers(0, 32767), st.floats(0, 1, width=32)), max_size=50))
def test_predictions_are_packed_without_loss(told):
    classes, sure = np.array([c for c, _ in told], np.int16), np.array([s for _, s in told], np.float32)
    again = unpack(pack(Predictions(classes, sure)), len(told))
    assert np.array_equal(again.classes, classes) and np.array_equal(again.confidences, sure)


def test_damaged_predictions_are_said_to_be_damaged():
    packed = pack(Predictions(np.arange(9), np.ones(9)))
    for payload, n in ((packed[:-4], 9), (packed, 10), (b"", 1)):
        with pytest.raises(StoreError, match="damaged"):
            unpack(payload, n)


@pytest.mark.slow
def test_a_quantised_run_is_measured_in_its_runtime(kept, monkeypatch):
    monkeypatch.setattr(quantised_run, "quantise", quantised_here)
    made_ = quantised_run.quantise_through(AccuracyRequest(CNN, DIGITS, CHANNELS, Recovery(), "validation", 16), kept)
    before = len(kept.measurements(made_.run))
    fill([made_.run], DIGITS, "test", kept)
    assert len(kept.measurements(made_.run)) == before, "its accuracy on all test images was there"
    assert kept.get_run(made_.run).info["sizes"]["surgery"] == made_.file.stat().st_size
    found = predictions(made_.run, DIGITS, "test", kept)
    assert np.array_equal(found.classes == np.asarray(load_data(DIGITS, model=load_model(CNN)).test.labels), made_.test.correct)
    (seen,) = kept.all_measurements("predictions")[made_.run]
    assert seen.runtime == "int8"
