"""A run that is opened answers as what was measured, or it is not opened."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prunekit.cli import main
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import RunGone
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.home import weights_folder
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import save
from prunekit.experiments.sweep_run import measure_one
from prunekit.models.cost import count
from prunekit.models.info import info
from prunekit.models.state import digests
from tests.experiments.archive.made import plain

NET = """
import torch
from torch import nn
from vouched_helper import bend

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 16, 3, padding=1), nn.Linear(16, 10)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 16).view(1, 16, 1, 1), persistent=False)

    def forward(self, x):
        return self.fc((self.b(bend(self.a(x))) * self.scale).relu().mean((2, 3)))

def make():
    torch.manual_seed(0)
    return Net()

make.input_shape = (1, 8, 8)
make.data = "digits"
"""
CHANNELS = PruneSpec(mode="structured", sparsity=0.5)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "nets.py").write_text(NET)
    helper(tmp_path, "relu")
    return ModelId(f"{tmp_path}/nets.py:make")


def helper(folder, bend):
    sys.modules.pop("vouched_helper", None)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / "vouched_helper.py").write_text(f"from torch import {bend} as bend\n")
    (folder / "nets.py").touch()  # read anew


@pytest.mark.parametrize("spec", [None, PruneSpec(sparsity=0.5), CHANNELS], ids=["dense", "weights", "channels"])
@pytest.mark.parametrize("make", [lambda request, store: save(request, store).id, lambda request, store: measure_one(request, store).run])
def test_a_run_whose_code_was_changed_is_not_opened(kept, own, tmp_path, spec, make):
    run = make(AccuracyRequest(own, DataId("digits", limit=40), spec, split="test"), kept)
    assert open_run(run, kept).note == ""
    helper(tmp_path, "tanh")
    with pytest.raises(RunGone):
        open_run(run, kept)


def test_what_is_noted_is_what_was_measured(kept, own):
    run = kept.get_run(measure_one(AccuracyRequest(own, DataId("digits", limit=40), CHANNELS, split="test"), kept).run)
    probe = run.info["probe"]
    assert probe["kind"] == "normal" and not probe["tensors"] and open_run(run, kept).model is not None
    other = {**probe, "answers": [{**probe["answers"][0], "scale": 2 * probe["answers"][0]["scale"]}]}
    with pytest.raises(RunGone, match=r"not what was measured: its answers differ.*Make it again"):
        open_run(replace(run, info={**run.info, "probe": other}), kept)
    old = {name: value for name, value in run.info.items() if name != "probe"}
    assert open_run(replace(run, info=old), kept).model is not None  # kept by an earlier version


def test_the_size_of_the_input_is_kept_by_run_archive_and_import(kept, own, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(kept.path.parent))
    flags = ["--size", "12", "--data", "none", "--mode", "structured", "--sparsity", "0.5", "--save", "--json"]
    assert main(["prune", own.name, *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    opened = open_run(told["run"], kept)
    assert opened.shape == (1, 12, 12) and count(opened.model, opened.shape).macs == told["after"]["macs"]
    taken = import_archive(plain(kept, told["run"], tmp_path), kept, factory=own.name)
    again = open_run(taken, kept)
    assert info(again.model).input_shape == again.shape == (1, 12, 12) and taken.info["macs"] == told["after"]["macs"]


def test_recovered_weights_come_with_their_buffers_or_not_at_all(kept, own):
    request = AccuracyRequest(own, DataId("digits", limit=60), CHANNELS, Recovery(epochs=1))
    run = kept.get_run(recover_through(request, kept)[-1].run)
    folder = weights_folder(run.id)
    opened = open_run(run, kept)
    assert opened.model.scale.shape == (1, 8, 1, 1) and "scale" in digests(opened.model) and opened.shape == (1, 8, 8)
    for file, name in (("beside.safetensors", "scale"), ("model.safetensors", "a.bias")):
        tensors, before = load_file(folder / file), (folder / file).read_bytes()
        with safe_open(folder / file, framework="pt") as stream:
            told = stream.metadata()
        save_file({**tensors, name: tensors[name] + 0.01}, folder / file, metadata=told)
        with pytest.raises(RunGone, match=name):
            open_run(run, kept)
        (folder / file).write_bytes(before)
    assert open_run(run, kept).model is not None
