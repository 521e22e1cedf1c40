"""Quantised runs: a parent, a file and an accuracy in the runtime, read the second time."""

import numpy as np
import pytest
import torch

import prunekit
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, RuntimeFault
from prunekit.experiments import quantised_run
from prunekit.experiments.home import weights_folder
from prunekit.experiments.quantised_run import quantise_through
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.latency import quantised
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.export import export_onnx
from prunekit.runtimes.quantise import calibration_samples, quantise_onnx
from prunekit.runtimes.runtime import Files

SPEC = PruneSpec(mode="structured", sparsity=0.5)
BRANCHES = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) if float(x.sum()) > 0 else self.fc(-x)


def make():
    return Net()


make.input_shape = (1, 8, 8)
"""


def test_prune_fine_tune_and_quantise_are_a_line_of_runs_and_the_last_is_read_again(kept, monkeypatch):
    request = AccuracyRequest(ModelId("digits_cnn"), DataId("digits"), SPEC, Recovery(epochs=1))
    stages = recover_through(request, kept)
    found = quantise_through(request, kept)
    run = kept.get_run(found.run)
    assert (run.kind, run.parent) == ("quantised", stages[-1].run) == ("quantised", found.parent)
    assert kept.get_run(kept.get_run(found.parent).parent).kind == "dense"
    assert found.file == weights_folder(found.run) / run.info["file"]
    assert found.file.stat().st_size == found.bytes == run.info["bytes"]
    assert found.bytes < found.before_bytes / 2
    assert (found.before, found.before_test) == (stages[-1].accuracy, stages[-1].test)
    seen = {m.split: m for m in kept.measurements(found.run)}
    assert set(seen) == {"validation", "test"} and {m.runtime for m in seen.values()} == {"int8"}
    monkeypatch.setattr(quantised_run, "quantise", lambda *_, **__: pytest.fail("quantised again"))
    monkeypatch.setattr(quantised_run, "evaluate_session", lambda *_, **__: pytest.fail("measured again"))
    again = quantise_through(request, kept)
    assert (again.accuracy, again.test, again.run) == (found.accuracy, found.test, found.run)


def quantised_here(model, data, folder, *, input_shape, **_):
    """Make the files in this process: another test has them made as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx = export_onnx(model, input_shape, folder / "model.onnx")
    return Files(folder, onnx, quantise_onnx(onnx, calibration_samples(data), folder / "model.int8.onnx"))


def test_the_accuracy_is_that_of_the_file_in_its_runtime(kept, monkeypatch):
    monkeypatch.setattr(quantised_run, "quantise", quantised_here)
    data = prunekit.load_data("digits")
    found = quantise_through(AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), None), kept)
    session = RUNTIMES["int8"].open(Files(found.file.parent, found.file.parent / "model.onnx", found.file))
    x = torch.stack([data.test[i][0] for i in range(len(data.test))])
    right = session.scores(x).argmax(1).numpy() == np.asarray(data.test.labels)
    assert found.test.value == right.mean()
    assert found.parent != found.run and kept.get_run(found.parent).kind == "dense"


def test_what_cannot_be_quantised_says_why_and_leaves_nothing(tmp_path):
    (tmp_path / "branches.py").write_text(BRANCHES)
    model, data = prunekit.load_model(f"{tmp_path / 'branches.py'}:make"), prunekit.load_data("digits")
    with pytest.raises(RuntimeFault, match="ONNX"):
        quantised.quantise(model, data, tmp_path / "out", input_shape=(1, 8, 8))
    with pytest.raises(DataError, match="training data"):
        quantised.quantise(model, None, tmp_path / "out", input_shape=(1, 8, 8))
    assert not (tmp_path / "out").exists()
