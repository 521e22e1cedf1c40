"""From a folder of Hugging Face to a smaller one, on the command line."""

import json

import psutil
import pytest

from tests import hf_folders

transformers = pytest.importorskip("transformers")
INNER = "bert.encoder.layer.0.intermediate.dense,bert.encoder.layer.1.intermediate.dense"
EVEN = ("--mode", "structured", "--uniform", "--sparsity", "0.375")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    return hf_folders.write(tmp_path / "dense", "bert")


def test_what_was_pruned_evenly_is_exported_as_a_folder_of_its_own(folder, tmp_path, run, refused):
    made = json.loads(run("prune", folder, *EVEN, "--layers", INNER, "--name", "slim", "--json"))
    assert made["after"]["params"] < made["before"]["params"]
    assert "BertForSequenceClassification.from_pretrained" in run("export", "slim", "--hugging-face", tmp_path / "out")
    smaller = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert sum(p.numel() for p in smaller.parameters()) == made["after"]["params"] and smaller.config.intermediate_size == 30
    assert "--hugging-face DIR" in refused("export", "slim")


def test_what_a_configuration_cannot_say_is_refused_by_uniform(folder, refused):
    assert "configuration of BertForSequenceClassification cannot say" in refused("prune", folder, *EVEN)


def test_memory_is_asked_for_as_many_copies_as_a_setting_holds(folder, refused, monkeypatch):
    free = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert "prune it as it is" in refused("prune", folder, "--sparsity", "0.5")
    for more in (EVEN, ("--sparsity", "0.5", "--name", "kept")):
        assert "with a pruned copy beside them" in refused("prune", folder, *more)
