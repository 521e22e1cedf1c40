"""Archives of models of transformers: load.py builds them by their configuration, and the README says what opens where."""

import contextlib
import runpy
import sys

import pytest
import torch

import prunekit
from prunekit.config.ids import ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive.architecture import OWN_NAME
from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import ArchiveError
from prunekit.experiments.archive.repeating import repeat
from prunekit.experiments.load_run import open_run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import save
from tests import hf_folders
from tests.experiments.archive.made import files_of, no_exporter, plain

pytest.importorskip("transformers")
UNEVEN, ZEROS = PruneSpec(mode="structured", sparsity=0.3), PruneSpec(sparsity=0.5)
KINDS = [("llama", UNEVEN, {}), ("encoder", ZEROS, {"num_labels": 3})]


def made_run(kept, folder, kind, spec, **changes):
    name = hf_folders.write(folder / "dense", kind, **changes)
    return name, save(AccuracyRequest(ModelId(name), None, spec), kept).id


@pytest.fixture(params=[*KINDS, pytest.param(("gpt2", UNEVEN, {}), marks=pytest.mark.slow)], ids=["llama", "encoder", "gpt2"])
def case(request, kept, tmp_path):
    kind, spec, changes = request.param
    name, run = made_run(kept, tmp_path, kind, spec, **changes)
    return name, run, plain(kept, run, tmp_path)


def test_load_py_gives_the_runs_own_answers_by_transformers_alone(case, kept, tmp_path, monkeypatch):
    name, run, payload = case
    opened = open_run(run, kept)
    for file, content in files_of(payload).items():
        (tmp_path / file).write_bytes(content)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, OWN_NAME.removesuffix(".py"), raising=False)
    assert "prunekit" not in (tmp_path / OWN_NAME).read_text().replace("prunekit's", "")
    loaded = runpy.run_path(str(tmp_path / "load.py"))
    monkeypatch.delitem(sys.modules, OWN_NAME.removesuffix(".py"), raising=False)
    ids = prunekit.info(prunekit.load_model(name)).example.kwargs
    with torch.inference_mode():
        found, expected = (next(iter(loaded["tensors_in"](model(**ids)).values())) for model in (loaded["load_model"](), opened.model))
    torch.testing.assert_close(found, expected)
    assert "of the model's example" in files_of(payload)["README.md"].decode()
    assert "on 2 inputs" in repeat(payload_at(payload, tmp_path)).sentence


def payload_at(payload, folder):
    path = folder / "made.zip"
    path.write_bytes(payload)
    return path


@pytest.mark.slow
def test_a_strangers_word_fetches_no_folder_and_a_folder_that_is_named_is_taken(kept, tmp_path, elsewhere):
    name, run = made_run(kept, tmp_path, "llama", UNEVEN)
    payload = plain(kept, run, tmp_path)
    with pytest.raises(ArchiveError, match=r"which was not used here.*--model hf:FOLDER"):
        import_archive(payload, elsewhere)
    taken = import_archive(payload, elsewhere, factory=name)
    with torch.inference_mode():
        ids = torch.arange(12).view(1, 12)
        assert torch.equal(open_run(taken.id, elsewhere).model(ids).logits, open_run(run, kept).model(ids).logits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "says", "programs"),
    [
        (UNEVEN, "No folder of transformers can hold this model", True),
        (PruneSpec(mode="structured", scope="uniform", sparsity=0.5), "LlamaForCausalLM.from_pretrained", False),
    ],
)
def test_every_form_opens_without_prunekit_and_the_notes_say_where(kept, tmp_path, spec, says, programs):
    _, run = made_run(kept, tmp_path, "llama", spec)
    with contextlib.nullcontext() if programs else no_exporter():
        found = export_run(run, tmp_path / "out.zip", kept)
    assert [form.agrees for form in found.formats] == [True, programs, programs] and any(says in note for note in found.notes)
