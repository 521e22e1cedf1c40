"""Recovery and training through the store: stages, learning curves, weights that load again."""

import threading

import numpy as np
import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery, Training
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments import recovery_run, training_run
from prunekit.experiments.home import weights_folder
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import Stage, recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.training_run import TrainRequest, train_through
from prunekit.models.folder import read_recipe
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.training.batchnorm import Shift, brought
from prunekit.training.gradual import recover
from prunekit.training.result import Epoch


def asked(recovery, **more):
    return AccuracyRequest(ModelId("digits_cnn"), DataId("digits"), PruneSpec(mode="structured", sparsity=0.7), recovery, **more)


def test_every_stage_is_measured_and_equals_what_the_core_makes(kept):
    request, told = asked(Recovery(recalibrate=True, images=512, epochs=2, seed=3)), []
    stages = recover_through(request, kept, report=told.append)
    assert [stage.name for stage in stages] == ["dense", "pruned", "recalibrated", "recovered"]
    model = load_model("digits_cnn")
    data = load_data("digits", model=model)
    made = recover(model, request.spec, request.recovery, data)
    for stage, expected in zip(stages, (model, made.before, made.recalibrated, made.model), strict=True):
        assert np.array_equal(stage.accuracy.correct, evaluate(expected, data.validation).correct), stage.name
        assert stage.test == evaluate(expected, data.test), stage.name
    shift = Shift.between(made.before, made.recalibrated)
    assert stages[2].note == brought(*(stage.test for stage in stages[:3]), shift) and shift.mean > 0
    assert kept.get_run(stages[2].run).info["shift"] == shift.to_dict()
    assert [epoch.number for epoch in told if isinstance(epoch, Epoch)] == [1, 2]
    assert [stage for stage in told if isinstance(stage, Stage)] == stages


def test_the_weights_of_a_recovery_open_again(kept):
    request = asked(Recovery(epochs=1))
    stages = recover_through(request, kept)
    opened = load_model(str(weights_folder(stages[-1].run)))
    data = load_data("digits", model=opened)
    assert evaluate(opened, data.test) == stages[-1].test
    assert opened.conv1.weight.shape[0] == 32 and opened.conv2.weight.shape[0] < 64


def test_the_step_on_the_way_is_a_run_that_opens_again_with_its_own_recipe(kept):
    stages = recover_through(asked(Recovery(recalibrate=True, images=512, epochs=1)), kept)
    step = stages[2]
    assert step.name == "recalibrated"
    folder = weights_folder(step.run)
    opened, recipe = load_model(str(folder)), read_recipe(folder)
    assert evaluate(opened, load_data("digits", model=opened).validation) == step.accuracy
    assert recipe.recover["recalibrate"] and not recipe.recover["epochs"]
    assert open_run(kept.get_run(step.run), kept).model is not None


def test_what_was_recovered_before_is_read_with_its_learning_curve(kept, monkeypatch):
    request, first, second = asked(Recovery(epochs=2)), [], []
    before = recover_through(request, kept, report=first.append)
    monkeypatch.setattr(recovery_run, "recover", lambda *_, **__: pytest.fail("computed again"))
    again = recover_through(request, kept, report=second.append)
    assert again == before
    curve = [(e.number, e.loss, e.validation.value) for e in first if isinstance(e, Epoch)]
    assert [(e.number, e.loss, e.validation.value) for e in second if isinstance(e, Epoch)] == curve


def test_a_recovery_whose_weights_are_gone_is_made_again(kept):
    import shutil

    request = asked(Recovery(epochs=1))
    before = recover_through(request, kept)
    shutil.rmtree(weights_folder(before[-1].run))
    again = recover_through(request, kept)
    assert again[-1].accuracy == before[-1].accuracy and weights_folder(again[-1].run).is_dir()


def test_recalibration_alone_is_the_whole_recovery(kept):
    stages = recover_through(asked(Recovery(recalibrate=True, images=256)), kept)
    assert [stage.name for stage in stages] == ["dense", "pruned", "recalibrated"]
    assert stages[-1].test is not None


def test_nothing_to_recover_is_refused(kept):
    with pytest.raises(PrunekitError, match="choose what to do after pruning"):
        recover_through(asked(Recovery()), kept)


def test_cancel_ends_a_recovery_and_keeps_what_was_measured(kept):
    cancel, told = threading.Event(), []

    def tell(item):
        told.append(item)
        if isinstance(item, Epoch):
            cancel.set()

    with pytest.raises(Cancelled):
        recover_through(asked(Recovery(epochs=3)), kept, progress=Progress(cancel=cancel), report=tell)
    assert [item.name for item in told if isinstance(item, Stage)] == ["dense", "pruned"]
    assert len(kept.runs()) == 2


def test_without_a_place_for_weights_the_result_stands_and_a_warning_says_so(kept, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recovery_run, "write_folder", full)
    said = []
    stages = recover_through(asked(Recovery(epochs=1)), kept, progress=Progress(warn=said.append))
    assert len(stages) == 3 and "could not be kept" in said[0]


def test_a_trained_sample_is_a_root_run_whose_weights_load_again(kept, tmp_path):
    request, told = TrainRequest(ModelId("digits_mlp"), DataId("digits"), Training(epochs=3, seed=5)), []
    found = train_through(request, kept, report=told.append)
    run = kept.get_run(found.run)
    assert (run.kind, run.parent, run.spec) == ("trained", None, None)
    assert [row["number"] for row in run.info["history"]] == [epoch.number for epoch in told] == [1, 2, 3]
    model = load_model("digits_mlp", weights=run.model["weights"])
    assert state_hash(model) == state_hash(found.tuned.model) != state_hash(load_model("digits_mlp"))
    data = load_data("digits", model=model)
    assert evaluate(model, data.test) == found.test and evaluate(model, data.validation) == found.validation
    pruned = AccuracyRequest(ModelId("digits_mlp", run.model["weights"]), DataId("digits"), PruneSpec())
    from prunekit.experiments.sweep_run import measure_one

    point = measure_one(pruned, kept)
    assert kept.get_run(point.run).parent == found.run, "pruning it hangs below the training"
    assert kept.get_run(found.run).kind == "trained"


def test_training_survives_a_full_disk(kept, monkeypatch):
    said = []
    monkeypatch.setattr(training_run.Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    found = train_through(
        TrainRequest(ModelId("digits_mlp"), DataId("digits"), Training(epochs=1)), kept, progress=Progress(warn=said.append)
    )
    assert not found.checkpoint and found.test.n == 360 and "No space left" in said[0]


def test_requests_are_read_back_from_plain_values():
    request = TrainRequest(ModelId("digits_mlp"), DataId("digits", limit=100), Training(epochs=2, lr=0.05))
    assert TrainRequest.from_dict(request.to_dict()) == request
    assert TrainRequest.from_dict(request.to_dict()).id == request.id
    with pytest.raises(PrunekitError, match="unknown keys"):
        TrainRequest.from_dict({**request.to_dict(), "epochs": 3})
