"""An archive taken in on another machine is a run that predicts the same; its figures are told, not measured."""

import json
import threading

import pytest
import torch

import prunekit
from prunekit.config.ids import ModelId
from prunekit.config.registered import _MODELS, register_model
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError, StoreError
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import ArchiveError
from prunekit.experiments.archive.reader import read_manifest, recipe_of
from prunekit.experiments.load_run import open_run
from prunekit.experiments.run_structure import structure_of
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.state import state_hash
from tests.experiments.archive.made import files_of, forged, plain, run_of, store_in, zipped

FACTORY = """
from torch import nn


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


make.input_shape = (1, 8, 8)
ready = make()
"""


def scores(run, store):
    model, x = open_run(run, store).model, torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model(x)


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        ("digits_cnn", PruneSpec(mode="structured", sparsity=0.6)),
        ("digits_mlp", PruneSpec(sparsity=0.8)),
        ("digits_mlp", PruneSpec(mode="nm", pattern="2:4")),
        ("digits_cnn", None),
    ],
)
def test_on_another_home_it_predicts_the_same(kept, home, elsewhere, tmp_path, monkeypatch, model, spec):
    name = run_of(kept, model, spec)
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        payload, expected = plain(kept, name, tmp_path), scores(name, kept)
        original = open_run(name, kept)
        before = structure_of(original, kept)
    run = import_archive(payload, elsewhere)
    torch.testing.assert_close(scores(run.id, elsewhere), expected, rtol=0, atol=0)
    assert run.kind == "imported" and run.id != name and run.weights == kept.get_run(name).weights
    assert run.spec == kept.get_run(name).spec
    counted = count(original.model, (1, 8, 8))
    assert (run.info["params"], run.info["macs"], run.info["nonzero"]) == (counted.params, counted.macs, counted.nonzero)
    after = structure_of(open_run(run.id, elsewhere), elsewhere)
    assert after.widths == before.widths and set(after.masks) == set(before.masks)
    assert all(torch.equal(after.masks[layer], before.masks[layer]) for layer in before.masks)


def test_what_it_was_elsewhere_is_told_and_not_measured(payload, run, kept, elsewhere):
    taken = import_archive(payload, elsewhere)
    (accuracy,) = [seen for seen in taken.info["told"]["measurements"] if seen["what"] == "accuracy"]
    assert accuracy["value"] == kept.measurements(run)[0].value["value"] and accuracy["data"] == "digits"
    assert taken.info["told"]["run"] == run
    assert elsewhere.measurements(taken.id) == []


def test_a_name_that_another_run_has_here_is_marked(payload, run, kept):
    kept.relabel(run, name="slim")
    taken = import_archive(payload, kept, called="")
    assert kept.label(taken.id).name != "slim" and kept.find("slim").id == run


def test_twice_is_once(payload, elsewhere):
    first = import_archive(payload, elsewhere)
    assert import_archive(payload, elsewhere) == first
    assert [run.id for run in elsewhere.runs()] == [first.id]


def test_other_weights_are_another_run(payload, kept, run, home, elsewhere, tmp_path, monkeypatch):
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        other = plain(kept, run_of(kept, spec=PruneSpec(sparsity=0.3)), tmp_path)
    assert import_archive(payload, elsewhere).id != import_archive(other, elsewhere).id


def test_it_hangs_below_the_dense_model_where_that_is_known(payload, kept, run, monkeypatch, home):
    monkeypatch.setenv("PRUNEKIT_HOME", str(home))
    taken = import_archive(payload, kept)
    assert taken.parent == kept.get_run(run).parent is not None
    kept.forget(taken.id)


def test_a_store_that_cannot_be_written_keeps_neither_run_nor_weights(payload, elsewhere, monkeypatch):
    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(RunStore, "put_run", full)
    with pytest.raises(StoreError, match="full"):
        import_archive(payload, elsewhere)
    assert not list(elsewhere.path.parent.glob("models/*"))


def test_a_full_disk_keeps_nothing(payload, elsewhere, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prunekit.models.saved_values.save_file", full)
    with pytest.raises(PrunekitError, match="No space left"):
        import_archive(payload, elsewhere)
    assert elsewhere.runs() == [] and not list(elsewhere.path.parent.glob("models/*"))


def test_the_same_archive_taken_in_by_several_at_once_is_one_run(payload, elsewhere):
    found, problems = [], []

    def take():
        try:
            found.append(import_archive(payload, elsewhere).id)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=take) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not problems and len(set(found)) == 1 and len(elsewhere.runs()) == 1
    assert open_run(found[0], elsewhere).model is not None


@pytest.fixture
def own(kept, home, tmp_path, monkeypatch):
    """An archive of a model of one's own, and its file."""
    file = tmp_path / "here" / "nets.py"
    file.parent.mkdir()
    file.write_text(f"{FACTORY}\n# {tmp_path.name}\n")  # another model in each test
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        name = run_of(kept, f"{file}:make", PruneSpec(sparsity=0.5))
        payload = plain(kept, name, tmp_path)
        return payload, file, scores(name, kept)


def test_code_of_ones_own_must_be_here_already(own, elsewhere, tmp_path):
    payload, file, expected = own
    text = file.read_text()
    assert files_of(payload)["nets.py"] == text.encode()
    with pytest.raises(ArchiveError, match=r"never run: unpack nets\.py"):
        import_archive(payload, elsewhere)
    other = tmp_path / "mine.py"
    other.write_text(text + "\n# changed\n")
    with pytest.raises(ArchiveError, match=r"the same, to the byte, as nets\.py"):
        import_archive(payload, elsewhere, factory=f"{other}:make")
    other.write_text(text)
    with pytest.raises(ArchiveError, match="make must come from a file"):
        import_archive(payload, elsewhere, factory=f"{other}:ready")
    run = import_archive(payload, elsewhere, factory=f"{other}:make")
    file.unlink()
    torch.testing.assert_close(scores(run.id, elsewhere), expected, rtol=0, atol=0)
    assert run.model["name"] == f"{other}:make"


def test_code_that_was_registered_or_used_here_is_known(own, elsewhere, tmp_path):
    payload, file, expected = own
    other = tmp_path / "known.py"
    other.write_text(file.read_text())
    file.unlink()
    model = register_model(ModelId(f"{other}:make"))
    try:
        run = import_archive(payload, elsewhere)
    finally:
        _MODELS.remove(model)
    torch.testing.assert_close(scores(run.id, elsewhere), expected, rtol=0, atol=0)
    assert import_archive(payload, elsewhere).id == run.id  # its run is known here now


def test_code_that_only_looks_like_what_is_known_is_not_run(own, elsewhere, tmp_path):
    """The manifest names a file that is here; what lies in the archive under its name is another one."""
    payload, file, _ = own
    run_of(elsewhere, f"{file}:make", PruneSpec(sparsity=0.5))
    mark = tmp_path / "ran"
    files = {**files_of(payload), "nets.py": f"open({str(mark)!r}, 'w')\ndef make(): pass\n".encode()}
    with pytest.raises(ArchiveError, match="never run"):
        import_archive(zipped(forged(files)), elsewhere)
    assert not mark.exists()


def test_a_file_is_read_like_its_bytes_and_a_missing_one_is_named(payload, elsewhere, tmp_path):
    (tmp_path / "it.zip").write_bytes(payload)
    assert import_archive(tmp_path / "it.zip", elsewhere) == import_archive(payload, elsewhere)
    for source in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(ArchiveError, match="cannot read"):
            import_archive(source, elsewhere)


def test_the_imported_run_is_exported_like_any_other(payload, elsewhere, tmp_path):
    taken = import_archive(payload, elsewhere)
    again = plain(elsewhere, taken.id, tmp_path)
    first, second = read_manifest(payload), read_manifest(again)
    assert (first.files["model.safetensors"], first.weights) == (second.files["model.safetensors"], second.weights)
    assert recipe_of(again) == recipe_of(payload)


def test_what_a_folder_of_the_home_says_is_what_the_archive_said(payload, elsewhere):
    taken = import_archive(payload, elsewhere)
    folder = elsewhere.path.parent / "models" / taken.id
    assert json.loads((folder / "result.json").read_text()) == json.loads(files_of(payload)["result.json"])
    assert state_hash(prunekit.load_model(folder)) == taken.info["state"]


def test_another_process_sees_it(payload, elsewhere):
    taken = import_archive(payload, elsewhere)
    again = store_in(elsewhere.path.parent)
    assert again.get_run(taken.id) == taken and again.find(taken.id[:12]).id == taken.id
    again.close()
