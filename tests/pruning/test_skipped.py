"""What takes no part is told by name, with a reason, and together with what does it is the whole model."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import prunekit
from prunekit.cli import main
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.before_after import assess, document
from prunekit.pruning.skipped import NOT_CHOSEN, grouped


class Transposed(nn.Module):
    """As in GPT-2: a linear layer with its weight the other way round."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.3)

    def forward(self, x):
        return x @ self.weight


class Zoo(nn.Module):
    """All kinds of layers that masks reach, and some parameters that they leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.first = nn.Linear(6, 4)
        self.norm = nn.LayerNorm(4)
        self.rnn = nn.GRU(4, 4, batch_first=True)
        self.up = nn.ConvTranspose1d(4, 4, 1)
        self.pair = nn.Bilinear(4, 4, 4)
        self.own = Transposed(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.act = nn.PReLU()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.first(x)) + self.words.weight.mean(0)
        x = self.up(self.rnn(x[:, None])[0].transpose(1, 2))[:, :, 0]
        return self.last(self.act(self.own(self.pair(x, x)) * self.scale))


REASONS = {"scale": "weights of its own", "norm": "norms", "act": "weights of its own"}
MASKED = ("words", "first", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "up", "pair", "own", "last")


@pytest.fixture(scope="module")
def zoo():
    torch.manual_seed(0)
    return Zoo().eval()


def whole(model):
    return sum(p.numel() for p in model.parameters())


def test_every_kind_that_masks_leave_out_is_named_with_its_reason(zoo):
    result = prunekit.prune(zoo, PruneSpec(sparsity=0.5), input_shape=(6,))
    found = {module.name: module for module in result.skipped}
    assert found.keys() == REASONS.keys()
    for name, words in REASONS.items():
        assert words in found[name].reason
    assert (found["scale"].type, found["act"].type) == ("Parameter", "PReLU") and tuple(result.masks) == MASKED
    assert [layer.type for layer in result.layers][2:7] == ["GRU", "GRU", "ConvTranspose1d", "Bilinear", "Transposed"]
    assert all(layer.sparsity > 0.2 for layer in result.layers if layer.name != "words")
    layers = sum(p.numel() for name in ("words", "first", "rnn", "up", "pair", "own", "last") for p in zoo.get_submodule(name).parameters())
    assert sum(module.parameters for module in result.skipped) + layers == whole(zoo)
    left = sum(int((p != 0).sum()) for p in result.model.parameters())
    assert result.of_all == pytest.approx(1 - left / whole(zoo))
    assert result.of_all < result.achieved.sparsity


@given(st.sets(st.sampled_from(["conv1", "conv2", "fc1", "fc2"]), min_size=1), st.sampled_from(["unstructured", "nm", "structured"]))
def test_layers_that_are_not_chosen_are_told_and_all_is_the_model(layers, mode):
    model = prunekit.load_model("digits_cnn")
    if mode != "unstructured":  # the outputs stay, and the single input of conv1 makes no block of a pattern
        layers = layers - ({"fc2"} if mode == "structured" else {"conv1"}) or {"fc1"}
    result = prunekit.prune(model, PruneSpec(mode=mode, layers=tuple(layers), **({} if mode == "nm" else {"sparsity": 0.5})))
    found = {module.name: module for module in result.skipped}
    assert layers.isdisjoint(found)
    for name in {"conv1", "conv2", "fc1", "fc2"} - layers:
        assert found[name].reason.startswith(NOT_CHOSEN)
        lost = next(layer for layer in result.layers if layer.name == name)
        assert ("its inputs go" in found[name].reason) == (lost.shape_after[1:] != lost.shape_before[1:])
    norms = {"conv1": "bn1", "conv2": "bn2"}
    follow = {norms[name] for name in layers & norms.keys()} if mode == "structured" else set()
    assert {"bn1", "bn2"} - found.keys() == follow
    held = [name for name in ("conv1", "bn1", "conv2", "bn2", "fc1", "fc2") if name not in found]
    assert sum(m.parameters for m in found.values()) + sum(whole(model.get_submodule(name)) for name in held) == whole(model)


def test_a_weight_that_two_modules_share_takes_part_through_one_of_them():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.inside, self.out = nn.Embedding(9, 5), nn.Linear(5, 5), nn.Linear(5, 9, bias=False)
            self.out.weight = self.words.weight

        def forward(self, x):
            return self.out(self.inside(x))

    both = prunekit.prune(Tied(), PruneSpec(sparsity=0.5), input_shape=(5,))
    one = prunekit.prune(Tied(), PruneSpec(sparsity=0.5, layers=("inside",)), input_shape=(5,))
    assert both.skipped == ()
    assert [(module.name, module.parameters) for module in one.skipped] == [("words", 45)]


def test_weights_that_are_computed_from_others_belong_to_their_layer():
    model = nn.Sequential(nn.Linear(6, 4), weight_norm(nn.ConvTranspose1d(4, 2, 1)))
    (only,) = prunekit.pruning.skipped(model, PruneSpec(), ("0",))
    assert (only.name, only.parameters) == ("1", whole(model[1]))


def test_the_norms_of_channels_that_stay_take_no_part_in_structured_pruning():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.na, self.b, self.nb, self.c = (
                nn.Conv2d(1, 6, 1),
                nn.BatchNorm2d(6),
                nn.Conv2d(6, 8, 1),
                nn.BatchNorm2d(8),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            return self.c(F.relu(self.nb(self.b(F.relu(self.na(self.a(x)))))).mean((2, 3)))

    result = prunekit.prune(Two(), PruneSpec(mode="structured", sparsity=0.5), input_shape=(1, 4, 4))
    found = {module.name: module.reason for module in result.skipped}
    assert found.keys() == {"a", "na", "c"}
    assert found["na"] == "it scales channels that stay"
    assert "stem" in found["a"]
    assert found["c"].endswith("only its inputs go along")
    assert result.of_all == pytest.approx(1 - whole(result.model) / whole(Two()))


def test_the_document_and_the_page_of_the_command_say_it(zoo, tmp_path, capsys):
    result = prunekit.prune(zoo, PruneSpec(sparsity=0.5), input_shape=(6,))
    found = document(result, assess(zoo, result, gzip=False), "zoo", None)
    assert found["achieved"]["of_all"] == result.of_all
    assert {row["name"] for row in found["skipped"]} == REASONS.keys()
    assert set(found["skipped"][0]) == {"name", "type", "parameters", "reason"}
    json.dumps(found)
    source = tmp_path / "net.py"
    source.write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.pre, self.rnn, self.head = nn.Linear(4, 4), nn.LSTM(4, 20, batch_first=True), nn.Linear(20, 2)\n"
        "    def forward(self, x):\n        return self.head(self.rnn(self.pre(x))[0][:, -1])\n\n"
        "def net():\n    return Net()\n\nnet.input_shape = (3, 4)\n"
    )
    assert main(["prune", f"{source}:net", "--sparsity", "0.5"]) == 0
    page = capsys.readouterr().out
    assert "50.0 % achieved" in page
    assert "took no part" not in page and any(line.split()[:2] == ["rnn.weight_hh_l0", "LSTM"] for line in page.splitlines())


def test_a_layer_of_fewer_inputs_than_a_block_takes_no_part():
    result = prunekit.prune(prunekit.load_model("digits_cnn"), PruneSpec(mode="nm", pattern="2:4"))
    found = {module.name: module.reason for module in result.skipped}
    assert found.keys() == {"conv1", "bn1", "bn2"}
    assert found["conv1"] == "1 input makes no block of 4"


def test_modules_of_one_kind_with_one_reason_are_one_row(zoo):
    model = prunekit.load_model("digits_cnn")
    rows = grouped(prunekit.prune(model, PruneSpec(sparsity=0.5)).skipped)
    assert rows == [("bn1 and 1 more", "BatchNorm2d", 192, "norms are not pruned")]


def test_the_name_of_a_recurrent_layer_stands_for_all_its_weights(zoo):
    result = prunekit.prune(zoo, PruneSpec(sparsity=0.5, layers=("rnn", "first")), input_shape=(6,))
    assert tuple(result.masks) == ("first", "rnn.weight_ih_l0", "rnn.weight_hh_l0")
    assert {"words", "up", "pair", "own", "last"} < {module.name for module in result.skipped}
