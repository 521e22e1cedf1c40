"""A language model of one's own that says nothing but its task and its tokeniser, from a file of text to a folder that opens again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prunekit import PruneSpec, evaluate, fine_tune, load_data, load_model, prune, sweep
from prunekit.cli import main
from prunekit.config.recovery import Recovery
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.tasks.input_form import InputForm

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F


class Letters:
    size = 27
    def encode(self, text):
        return [max(0, ord(letter) - 96) if letter.isalpha() else 0 for letter in text.lower()]
    def decode(self, ids):
        return "".join(chr(96 + i) if i else " " for i in ids)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.query, self.key, self.value = nn.Embedding(27, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out, self.up, self.down, self.norm, self.head = (
            nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16), nn.LayerNorm(16), nn.Linear(16, 27)
        )

    def forward(self, ids):
        x = self.tokens(ids)
        q, k, v = (layer(x).unflatten(2, (-1, 4)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return {"logits": self.head(self.norm(x + self.down(F.gelu(self.up(x)))))}


def model():
    return Net()


model.task, model.tokeniser = "language-modelling", Letters()
"""
SAID = "the quick brown fox jumps over the lazy dog and then it sleeps in the warm sun. "
SPECS = (
    PruneSpec(sparsity=0.5),
    PruneSpec(sparsity=0.5, criterion="taylor", samples=32),
    PruneSpec(mode="nm", pattern="2:4", criterion="wanda", samples=32),
    PruneSpec(mode="structured", sparsity=0.4),
    PruneSpec(mode="structured", sparsity=0.4, criterion="taylor", samples=32),
)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the names of a model and of its text."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "net.py").write_text(MODEL, encoding="utf-8")
    (folder / "book.txt").write_text(SAID * 60, encoding="utf-8")
    return f"{folder / 'net.py'}:model", f"textfile:{folder / 'book.txt'}"


def test_it_is_pruned_measured_and_taught_as_any_other(book: tuple[str, str]) -> None:
    dense = load_model(book[0])
    data = load_data(book[1], model=dense, size=12)
    setting = Recovery(epochs=2, lr=0.02, optimizer="adam", batch_size=32)
    model = fine_tune(dense, data, setting).model
    known, untrained = evaluate(model, data.test), evaluate(dense, data.test)
    assert known.metric.name == "perplexity" and known.value < 0.6 * untrained.value and known.low < known.value < known.high
    for spec in SPECS:
        result = prune(model, spec, data)
        assert result.achieved.removed > 0 and (result.proof is None or result.proof.passed)
        assert evaluate(result.model, data.test).value > known.value
        if result.kept:
            assert len(result.kept["query"]) % 4 == 0 and len(result.kept["tokens"]) == len(result.kept["out"])
    points = list(sweep(model, PruneSpec(), (0.0, 0.9), data))
    assert points[0].accuracy.value == pytest.approx(known.value, rel=1e-5) and points[1].accuracy.value > known.value
    found = sensitivity(model, data, PruneSpec(), (0.9,), batch_size=8)
    assert found.dense.units == "windows" and {layer.name for layer in found.layers} >= {"tokens", "query", "head"}
    cut = prune(model, PruneSpec(sparsity=0.8), data)
    taught = fine_tune(cut.model, data, Recovery(epochs=1, lr=0.01, optimizer="adam", distill=0.5), masks=cut.masks, teacher=model)
    assert evaluate(taught.model, data.test).value < evaluate(cut.model, data.test).value


def test_its_inputs_are_ids_even_where_no_data_say_so(book: tuple[str, str]) -> None:
    result = prune(load_model(book[0]), PruneSpec(mode="structured", sparsity=0.4))
    assert result.proof is not None and result.proof.passed
    ids = InputForm.of(next(load_data(book[1], model=load_model(book[0])).test.batches(2))).inputs(3).args[0]
    assert ids.dtype == torch.int64 and int(ids.max()) < 27


def test_the_command_line_reads_it(book: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["prune", book[0], "--data", book[1], "--limit", "2", "--mode", "structured", "--sparsity", "0.4"]
    assert main([*asked, "--out", str(tmp_path / "fewer"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["after"]["metric"] == "perplexity" and told["after"]["metrics"]["bits_per_character"]["n"] == 2
    again = load_model(tmp_path / "fewer")
    data = load_data(book[1], model=again, limit=2)
    assert evaluate(again, data.test).value == pytest.approx(told["after"]["metrics"]["perplexity"]["value"], rel=1e-5)
    assert main(["prune", book[0], "--data", book[1], "--sparsity", "0.5", "--size", "4000"]) == 2
    assert "needs 4001: choose a longer text, or shorter windows" in capsys.readouterr().err
