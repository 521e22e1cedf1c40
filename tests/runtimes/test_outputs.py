"""Models that give something else than one table of class scores: all their tensors are written by name, and compared."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import prunekit
from prunekit.errors import ModelError
from prunekit.latency.report import Candidate
from prunekit.models.outputs import Choice, note, tensors_of
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import check
from prunekit.runtimes.export import export_onnx
from prunekit.runtimes.onnx_sessions import OnnxSession

SHAPE = (3, 8, 8)
Pair = namedtuple("Pair", ["features", "map"])


@dataclass
class Answer:
    hidden: torch.Tensor
    logits: torch.Tensor


class Net(nn.Module):
    def __init__(self, pack):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.pack = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1), pack
        self.eval()

    def forward(self, x):
        h = self.a(x).relu()
        return self.pack(h, self.b(h))


FORMS = {
    "segmenter": (lambda h, y: {"out": y, "aux": h}, ["out", "aux"]),
    "map alone": (lambda h, y: y, ["output"]),
    "regression": (lambda h, y: y.mean((1, 2, 3)), ["output"]),
    "tuple": (lambda h, y: (h, y.mean((2, 3)), y.argmax(1), y > 0), ["output_0", "scores", "output_2", "output_3"]),
    "named": (lambda h, y: Pair(h.mean((2, 3)), y), ["scores", "map"]),
    "dataclass": (lambda h, y: Answer(h.mean((2, 3)), y.mean((2, 3))), ["hidden", "scores"]),
    "nested": (lambda h, y: {"images": y, "more": [h, None, 3]}, ["output_images", "more.0"]),
}


@pytest.mark.parametrize("pack, names", FORMS.values(), ids=FORMS)
def test_every_tensor_is_written_by_name_and_compared(pack, names, tmp_path):
    model = Net(pack)
    path = export_onnx(model, SHAPE, tmp_path / "model.onnx")
    x = torch.randn(5, *SHAPE)
    found = OnnxSession(path, 1).outputs(x)
    with torch.no_grad():
        expected = list(tensors_of(model(x)).values())
    assert list(found) == names
    for got, wanted in zip(found.values(), expected, strict=True):
        assert got.dtype == wanted.dtype
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    told = check(RUNTIMES["onnxruntime"], dict(zip(names, expected, strict=True)), found, len(x))
    assert told.passed and (told.agreement is not None) == ("scores" in names)
    for name in names:  # whichever of them differs
        wrong = {**found, name: ~found[name] if found[name].dtype == torch.bool else found[name] + 1}
        assert not check(RUNTIMES["onnxruntime"], dict(zip(names, expected, strict=True)), wrong, len(x)).passed


def test_what_the_factory_says_is_what_a_file_calls_scores(tmp_path):
    model = Net(lambda h, y: (y.mean((2, 3)), y.amax((2, 3))))
    untold = OnnxSession(export_onnx(model, SHAPE, tmp_path / "untold.onnx"), 1)
    with pytest.raises(ModelError, match="ambiguous"):
        untold.scores(torch.randn(2, *SHAPE), 4)
    note(model, Choice(1))
    told = OnnxSession(export_onnx(model, SHAPE, tmp_path / "told.onnx"), 1)
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(told.scores(x), model(x)[1].detach(), rtol=1e-4, atol=1e-5)


FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.m, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 1), nn.Conv2d(8, 4, 1)
    def forward(self, x):
        h = self.m(self.a(x).relu()).relu()
        return {"out": self.b(h), "aux": self.a(x).mean((2, 3))[:, :, None]}

def segmenter():
    return Net()
segmenter.input_shape = (3, 8, 8)
"""


@pytest.fixture
def segmenter(tmp_path):
    (tmp_path / "nets.py").write_text(FILE)
    return prunekit.load_model(f"{tmp_path}/nets.py:segmenter")


@pytest.mark.slow
def test_latency_times_a_model_that_gives_no_class_scores(segmenter):
    small = prunekit.prune(segmenter, prunekit.PruneSpec(mode="structured", sparsity=0.5)).model
    candidates = [Candidate("dense", segmenter), Candidate("smaller", small)]
    report = prunekit.measure_latency(candidates, input_shape=SHAPE, runtimes=("eager", "onnxruntime"), budget_s=0.2)
    for row in report.candidates:
        assert row.error is None and row.accuracy is None and row.check.passed and row.check.agreement is None
        assert row.check.sentence.startswith(("within", "the same as eager"))


def test_outputs_that_are_the_same_to_the_bit_are_not_said_to_be_within_nothing():
    scores = torch.eye(3)
    assert check(RUNTIMES["onnxruntime"], scores, scores.clone()).sentence == "the same as eager, to the bit"
    assert check(RUNTIMES["onnxruntime"], scores, scores + 1e-6).sentence.startswith("within 1.0e-6 of eager")
