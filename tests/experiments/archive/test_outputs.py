"""Archives of models that give several tensors, or no class scores: all of them are kept, told apart and compared."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import prunekit
from prunekit.config.ids import ModelId
from prunekit.config.recovery import Recovery
from prunekit.evaluation.before_after import assess
from prunekit.experiments.archive.assembling import program
from prunekit.experiments.archive.gathering import Gathered, Pixels, gather
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import INT8
from prunekit.experiments.archive.proving import compared, prove
from prunekit.experiments.archive.samples import Samples
from prunekit.experiments.load_run import open_run
from prunekit.experiments.save_run import keep_made
from prunekit.tasks.batch import Batch
from prunekit.training.result import Recovered
from tests.experiments.archive.made import STRUCTURED, files_of, plain, run_of

FILE = """
import torch
from dataclasses import dataclass
from torch import nn

@dataclass
class Answer:
    features: torch.Tensor
    more: list

class Net(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.a, self.m, self.b, self.how = nn.Linear(64, 16), nn.Linear(16, 12), nn.Linear(12, 10), how
        self.f = nn.Linear(12, 10)
    def forward(self, x):
        h = self.m(self.a(x.flatten(1)).relu()).relu()
        if self.how == "map":
            return {"map": self.b(h)[:, :, None], "aux": self.f(h) > 0}
        return Answer(self.f(h), [self.b(h), h.argmax(1)])

def scored():
    return Net("scores")
def mapped():
    return Net("map")
scored.input_shape = mapped.input_shape = (1, 8, 8)
scored.output = "more.0"
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "nets.py").write_text(FILE)
    return tmp_path / "nets.py"


def unpacked(payload, folder):
    folder.mkdir()
    for name, content in files_of(payload).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("columns", "said"), [(1, "the output as of the run on 3 samples"), (2, "the same class as the run on 3 of 3 samples")]
)
def test_a_single_number_is_no_class(columns, said):
    scores = torch.randn(3, columns)
    gathered = Gathered(None, Batch((torch.zeros(3, 2),)), {"": scores}, {"": 0}, "", "3 samples")
    assert compared("model.onnx", "model.onnx", gathered, {0: scores}).sentence.startswith(said)


def test_of_several_tensors_as_wide_as_the_classes_the_factorys_counts_in_and_outside(kept, file, tmp_path):
    run = run_of(kept, f"{file}:scored")
    opened = open_run(run, kept)
    folder = unpacked(plain(kept, run, tmp_path), tmp_path / "there")
    samples = Samples.read(folder)
    expected = opened.outputs(samples.inputs)
    assert samples.path == "more.0" and samples.scores and set(samples.others) == {"features", "more.1"}
    torch.testing.assert_close(samples.outputs, expected["more.0"], rtol=1e-5, atol=1e-6)
    data = prunekit.load_data("digits", limit=60)
    right = int(prunekit.evaluate(opened.model, data.test).correct.sum())
    images = np.concatenate([x.numpy() for x, _ in data.test.batches()])
    np.savez(tmp_path / "test.npz", images=images, labels=np.asarray(data.test.labels))
    ran = subprocess.run(
        [sys.executable, "-I", "load.py", str(tmp_path / "test.npz")], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith(f"accuracy: {right} of {len(data.test)},")
    assert prove(folder, "load.py", gather(opened), tmp_path, code="nets.py").agrees


def test_what_gives_no_class_scores_is_kept_proved_and_taken_in_again(kept, file, tmp_path, elsewhere):
    name = ModelId(f"{file}:mapped")
    model = prunekit.load_model(name)
    result = prunekit.prune(model, STRUCTURED)
    run = keep_made(name, model, Recovered(result, Recovery()), assess(model, result), kept).id
    payload = plain(kept, run, tmp_path)
    folder, gathered = unpacked(payload, tmp_path / "there"), gather(open_run(run, kept))
    assert gathered.path is None and set(gathered.outputs) == {"map", "aux"}
    told = prove(folder, "load.py", gathered, tmp_path, code="nets.py")
    assert told.agrees and told.sentence.startswith("all outputs as of the run")
    assert "no accuracy was measured" in (folder / "README.md").read_text()
    gathered.outputs["aux"] = ~gathered.outputs["aux"]
    assert not prove(folder, "load.py", gathered, tmp_path, code="nets.py").agrees
    taken = import_archive(payload, elsewhere, factory=f"{file}:mapped")
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        wanted, found = result.model(x), open_run(taken, elsewhere).model(x)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_program_refuses_a_network_of_which_any_output_differs(kept, file, tmp_path):
    folder = unpacked(plain(kept, run_of(kept, f"{file}:scored"), tmp_path), tmp_path / "there")
    kept_ones = load_file(folder / "samples.safetensors")
    samples = Samples.read(folder)
    for change in ("outputs", "outputs.features"):
        assert change in kept_ones
    altered = Samples(**{**samples.__dict__, "others": {**samples.others, "features": samples.others["features"] + 1}})
    altered.write(folder)
    ran = subprocess.run([sys.executable, "-I", "load.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode and "its outputs differ" in ran.stderr


def test_a_quantised_program_tells_its_outputs_by_name():
    zero = torch.zeros(1)
    text = program("A net", Pixels((1, 8, 8), (0.5,), (0.2,)), None, Samples(Batch.of(zero), zero, zero, zero, 0.05, "", "scores"))
    compile(text, INT8, "exec")
    assert "OUTPUT = 'scores'" in text and "outputs(model, *arrays)[OUTPUT]" in text
