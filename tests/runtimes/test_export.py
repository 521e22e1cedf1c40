"""Exporting to ONNX: any batch, the same scores, and words where it cannot be done."""

import logging

import onnx
import pytest
import torch
from torch import nn

from prunekit.errors import ModelError, RuntimeFault
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.runtimes.export import GatheredBag, export_onnx
from prunekit.tasks.input_form import form_of
from tests import recommenders

SHAPE = (3, 2, 2)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 4)


class Branching(Head):
    def forward(self, x):
        x = self.fc(x.flatten(1))
        return x if x.sum() > 0 else -x


class Looping(Head):
    def forward(self, x):
        for _ in range(int(x.abs().sum().item())):
            x = x * 0.5
        return self.fc(x.flatten(1))


class TwoSamples(Head):
    def forward(self, x):
        return self.fc(x.reshape(2, -1))


class OutsideTorch(Head):
    def forward(self, x):
        return torch.stack([self.fc(torch.tensor(row.detach().numpy()).flatten()) for row in x])


class NoOperator(Head):
    def forward(self, x):
        return torch.linalg.svd(self.fc(x.flatten(1)), full_matrices=False)[0]


class Changing(Head):
    def forward(self, x):
        return self.fc(x.flatten(1)) + torch.rand(())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Branching, "looks at the values of its input"),
        (Looping, "looks at the values of its input"),
        (TwoSamples, "one batch only"),
        (OutsideTorch, "one batch only|other scores"),
        (NoOperator, "no ONNX operator for aten._linalg_svd"),
        (Changing, "other scores than the model"),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused_with_the_reason_and_leaves_no_file(model, words, tmp_path, capfd):
    torch.manual_seed(0)
    with pytest.raises(RuntimeFault, match=words) as told:
        export_onnx(model().eval(), SHAPE, tmp_path / "m.onnx")
    assert "\n" not in str(told.value) and "\x1b" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")


def test_an_input_shape_that_the_model_does_not_take_is_told_as_such(tmp_path):
    with pytest.raises(ModelError, match=r"samples of shape \[4, 2, 2\]"):
        export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (4, 2, 2), tmp_path / "m.onnx")


def test_exporting_leaves_the_model_and_logging_alone_and_an_older_file_until_it_is_done(tmp_path, capfd):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(16, 4)).train()
    before, level = state_hash(model), logging.root.manager.disable
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeFault):
        export_onnx(Branching(), SHAPE, path)
    assert path.read_bytes() == b"older"
    assert export_onnx(model, SHAPE, path) == path
    assert state_hash(model) == before and all(module.training for module in model.modules())
    assert logging.root.manager.disable == level
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("done", ["dense", pytest.param("half", marks=pytest.mark.slow)])
def test_the_file_has_one_open_batch_and_the_weights_of_the_model(cases, done):
    case = cases("cifar10_mobilenetv2", done)
    graph = onnx.load(case.files.onnx).graph
    onnx.checker.check_model(str(case.files.onnx))
    sides = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (graph.input[0], graph.output[0])]
    assert (graph.input[0].name, graph.output[0].name) == ("images", "scores")
    assert sides == [["batch", *case.shape], ["batch", 10]]
    assert not any(part.metadata_props or part.doc_string for part in (*graph.node, *graph.initializer, *graph.input))  # no paths
    held = sum(onnx.numpy_helper.to_array(w).size for w in graph.initializer)
    convolutions = sum(m.weight.numel() for m in case.model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert convolutions <= held <= sum(p.numel() for p in case.model.parameters()) + 200


@pytest.mark.parametrize(
    ("mode", "padding", "weighted"), [("sum", None, True), ("sum", 0, False), ("mean", None, False), ("mean", 0, False), ("max", 0, False)]
)
def test_a_bag_of_embeddings_is_gathered_as_torch_does(mode, padding, weighted):
    bag = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=padding)
    ids = torch.randint(0, 9, (6, 5), generator=torch.Generator().manual_seed(0))
    ids[0] = 0  # nothing but padding
    weights = torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) if weighted else None
    torch.testing.assert_close(GatheredBag(bag)(ids, per_sample_weights=weights), bag(ids, per_sample_weights=weights))
    if not weighted:
        torch.testing.assert_close(GatheredBag(bag)(ids.flatten(), torch.arange(0, 30, 5)), bag(ids))


@pytest.mark.slow
def test_bags_of_embeddings_are_no_loop_over_samples(tmp_path):
    model = load_model(f"{recommenders.__file__}:dlrm")
    graph = onnx.load(export_onnx(model, form_of(model), tmp_path / "model.onnx")).graph
    assert "Gather" in {node.op_type for node in graph.node} and "Loop" not in {node.op_type for node in graph.node}
