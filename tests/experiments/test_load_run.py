"""A run opened again is the model that was measured, or says why it cannot be."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery, Training
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import RunGone, StoreError
from prunekit.evaluation.accuracy import evaluate
from prunekit.experiments import quantised_run
from prunekit.experiments.home import checkpoints, weights_folder
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.run_structure import structure_of
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one, sweep_through
from prunekit.experiments.training_run import TrainRequest, train_through
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from tests.experiments.test_quantised_run import quantised_here

CNN, MLP, DIGITS = ModelId("digits_cnn"), ModelId("digits_mlp"), DataId("digits")
SETTINGS = {
    "single weights": PruneSpec(sparsity=0.7),
    "by a threshold": PruneSpec(sparsity=None, threshold=0.05),
    "2:4": PruneSpec(mode="nm", pattern="2:4"),
    "channels": PruneSpec(mode="structured", sparsity=0.5),
    "weights by images": PruneSpec(sparsity=0.6, criterion="wanda", scope="uniform"),
    "channels by images": PruneSpec(mode="structured", sparsity=0.4, criterion="taylor"),
}


def measured(store, spec, recovery=None, model=CNN, data=DIGITS, images=64):
    found = measure_one(AccuracyRequest(model, data, spec, recovery or Recovery(), "test", images), store)
    return store.get_run(found.run), found.accuracy


@pytest.mark.parametrize("spec", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_pruned_run_has_the_very_weights_that_were_measured(kept, spec):
    run, accuracy = measured(kept, spec)
    opened = open_run(run.id[:8], kept)
    assert opened.run == run and opened.note == "" and opened.data_id == DIGITS
    assert state_hash(opened.model) == run.info["state"]
    assert not opened.model.training and not any(p.requires_grad for p in opened.model.parameters())
    assert np.array_equal(evaluate(opened.model, load_data(DIGITS, model=opened.model).test.subset(64)).correct, accuracy.correct)


def test_every_point_of_a_sweep_can_be_opened(kept):
    points = sweep_through(SweepRequest(CNN, DIGITS, PruneSpec(), images=32, sparsities=(0.3, 0.9)), kept)
    states = [state_hash(open_run(point.run, kept).model) for point in points]
    assert states == [kept.get_run(point.run).info["state"] for point in points] and len(set(states)) == 3
    assert states[0] == state_hash(load_model(CNN))


def test_images_that_are_loaded_already_are_used_and_others_are_not_believed(kept, monkeypatch):
    run, _ = measured(kept, SETTINGS["channels by images"])
    data = load_data(DIGITS, model=load_model(CNN))
    monkeypatch.setattr("prunekit.experiments.sources.load", lambda *_: pytest.fail("loaded again"))
    assert state_hash(open_run(run, kept, data=data).model) == run.info["state"]
    monkeypatch.undo()
    few = load_data(DataId("digits", limit=50), model=load_model(CNN))
    assert state_hash(open_run(run, RunStore(kept.path), data=few).model) == run.info["state"]


def test_images_that_cannot_be_had_are_said(kept):
    run, _ = measured(kept, SETTINGS["channels by images"])
    with pytest.raises(RunGone, match=r"images of digits.*Bring the images back"):
        open_run(replace(run, trained_on="of other images"), kept)


def own_model(path):
    layers = "nn.Conv2d(1, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 10)"
    path.write_text(
        "import torch\nfrom torch import nn\n\n\ndef make():\n    torch.manual_seed(3)\n"
        f"    return nn.Sequential({layers})\n\n\nmake.input_shape = (1, 8, 8)\n"
    )
    return ModelId(f"{path}:make")


def test_a_dense_model_that_has_changed_under_its_name_is_not_taken_for_the_old_one(kept, tmp_path):
    model = own_model(tmp_path / "mine.py")
    run, _ = measured(kept, PruneSpec(sparsity=0.5), model=model)
    dense = kept.get_run(run.parent)
    assert open_run(run, kept).model is not None and open_run(dense, kept).model is not None
    path = tmp_path / "mine.py"
    path.write_text(path.read_text().replace("manual_seed(3)", "manual_seed(4)"))
    for each in (run, dense):
        with pytest.raises(RunGone, match=rf"{each.id[:12]}.*has other weights now.*make the run again"):
            open_run(each, kept)
    path.unlink()
    with pytest.raises(RunGone, match="cannot be loaded"):
        open_run(run, kept)


def test_a_run_on_images_of_another_size_is_opened_at_that_size(kept, tmp_path):
    model, spec = own_model(tmp_path / "mine.py"), PruneSpec(mode="structured", sparsity=0.4, target="macs")
    run, _ = measured(kept, spec, model=model, data=DataId("digits", size=12))
    assert open_run(run, kept).shape == (1, 12, 12)
    older = replace(run, info={k: v for k, v in run.info.items() if k not in ("input_shape", "state")})
    again = open_run(older, kept)
    assert again.shape == (1, 12, 12) and state_hash(again.model) == run.info["state"]


# --- what was kept ---


def recovered(store, recovery, spec=SETTINGS["channels"]):
    stages = recover_through(AccuracyRequest(CNN, DIGITS, spec, recovery), store)
    return store.get_run(stages[-1].run)


def test_a_recovered_run_is_read_and_refused_once_its_file_is_another_or_gone(kept):
    run = recovered(kept, Recovery(epochs=1))
    opened = open_run(run, kept)
    assert state_hash(opened.model) == run.info["state"] and opened.file == weights_folder(run.id)
    file = opened.file / "model.safetensors"
    sound = file.read_bytes()
    state = load_file(file)
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as told:
        metadata = told.metadata()
    save_file({**state, "conv1.weight": state["conv1.weight"] + 1}, file, metadata)
    with pytest.raises(RunGone, match=r"other (weights|values) than those that were (measured|saved)"):
        open_run(run, kept)
    file.write_bytes(sound[:1000])
    with pytest.raises(RunGone, match=r"cannot be read.*Recover it again"):
        open_run(run, kept)
    shutil.rmtree(opened.file)
    with pytest.raises(RunGone, match=rf"run {run.id[:12]} .*is not there.*Recover page, or delete the run"):
        open_run(run, kept)


def test_a_recovered_point_of_a_sweep_says_that_its_weights_were_not_kept(kept):
    run, _ = measured(kept, SETTINGS["channels"], Recovery(recalibrate=True, images=64))
    with pytest.raises(RunGone, match="measured and not kept"):
        open_run(run, kept)


def test_a_trained_run_is_read_from_its_checkpoint_even_where_the_home_has_moved(kept, tmp_path):
    made = train_through(TrainRequest(MLP, DIGITS, Training(epochs=1)), kept)
    run = kept.get_run(made.run)
    assert hashlib.sha256(open_run(run, kept).file.read_bytes()).hexdigest().startswith(made.checkpoint)
    assert evaluate(open_run(run, kept).model, load_data(DIGITS, model=load_model(MLP)).test) == made.test
    moved = replace(run, model={**run.model, "weights": "/elsewhere/" + run.info["file"]})
    assert state_hash(open_run(moved, kept).model) == run.info["state"]
    shutil.rmtree(checkpoints())
    with pytest.raises(RunGone, match="Train it again"):
        open_run(run, kept)


def test_a_run_that_was_never_kept_is_no_run(kept):
    with pytest.raises(StoreError, match="there is no run abcdef"):
        open_run("abcdef", kept)


# --- structure ---


def test_structure_of_weights_is_where_they_are_not_zero(kept):
    dense = load_model(CNN)
    for spec in (SETTINGS["single weights"], SETTINGS["2:4"]):
        run, _ = measured(kept, spec)
        opened = open_run(run, kept)
        found = structure_of(opened, kept)
        assert list(found.masks) == list(prunable_layers(dense)) and found.kept is None
        for name, mask in found.masks.items():
            assert torch.equal(weight_of(opened.model, name), weight_of(dense, name) * mask)
            assert found.widths[name] == (len(mask), len(mask))
    dense_run = kept.get_run(run.parent)
    assert all(mask.all() for mask in structure_of(open_run(dense_run, kept), kept).masks.values())


def check_channels(found, dense, small):
    """The dense weights that the masks leave are those of the smaller model, in shape."""
    for name, mask in found.masks.items():
        after = weight_of(small, name)
        assert int(mask.sum()) == after.numel() and found.widths[name] == (len(mask), len(after))
        rows = mask.flatten(1).any(1).nonzero().flatten().numpy()
        assert np.array_equal(rows, found.kept[name])


def test_structure_of_channels_leaves_what_pruning_left(kept):
    run, _ = measured(kept, SETTINGS["channels"])
    dense, opened = load_model(CNN), open_run(run, kept)
    found = structure_of(opened, kept)
    check_channels(found, dense, opened.model)
    for name, mask in found.masks.items():
        assert torch.equal(weight_of(dense, name)[mask], weight_of(opened.model, name).flatten())


def test_structure_of_a_recovered_run_is_that_of_what_was_cut(kept):
    run = recovered(kept, Recovery(epochs=1))
    dense = load_model(CNN)
    expected = prune(dense, SETTINGS["channels"]).kept
    noted = structure_of(open_run(run, kept), kept)
    check_channels(noted, dense, open_run(run, kept).model)
    (weights_folder(run.id) / "result.json").write_text("{}")
    again = structure_of(open_run(run, kept), kept)
    for name, stay in expected.items():
        assert tuple(noted.kept[name]) == tuple(again.kept[name]) == stay


def test_structure_after_several_cuts_is_known_from_the_note_alone(kept):
    run = recovered(kept, Recovery(epochs=2, schedule="linear", steps=2))
    opened = open_run(run, kept)
    check_channels(structure_of(opened, kept), load_model(CNN), opened.model)
    (weights_folder(run.id) / "result.json").write_text('{"layers": [{"name": "conv1", "kept": [0, 99]}]}')
    unknown = structure_of(opened, kept)
    assert unknown.masks == {} and unknown.kept is None
    assert unknown.widths["conv2"] == (64, len(opened.model.conv2.weight))


def test_structure_of_recovered_weights_keeps_the_zeros(kept):
    run = recovered(kept, Recovery(epochs=1), SETTINGS["single weights"])
    found = structure_of(open_run(run, kept), kept)
    assert sum(int((~mask).sum()) for mask in found.masks.values()) == sum(
        int((~mask).sum()) for mask in prune(load_model(CNN), SETTINGS["single weights"]).masks.values()
    )


@pytest.mark.slow
def test_a_quantised_run_opens_in_its_runtime_with_the_structure_of_its_parent(kept, monkeypatch):
    monkeypatch.setattr(quantised_run, "quantise", quantised_here)
    made = quantised_run.quantise_through(AccuracyRequest(CNN, DIGITS, SETTINGS["channels"]), kept)
    opened = open_run(made.run, kept)
    assert opened.model is None and opened.file == made.file
    x = next(iter(load_data(DIGITS, model=load_model(CNN)).test.batches(8)))[0]
    assert opened.session.scores(x).shape == (8, 10)
    assert structure_of(opened, kept).widths == structure_of(open_run(made.parent, kept), kept).widths
    made.file.unlink()
    with pytest.raises(RunGone, match="Quantise it again"):
        open_run(made.run, kept)
