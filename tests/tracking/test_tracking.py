"""What a tracker is told by pruning, fine-tuning and sweeps, and that one that fails ends no work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import prunekit
from prunekit import tracking as module
from prunekit.cli import main
from prunekit.errors import PrunekitError
from prunekit.tracking import TRACKERS, open_tracker, tracked


@dataclass
class Notebook:
    """A tracker that writes everything down."""

    asked: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    def params(self, values: Any) -> None:
        self.asked |= values

    def metrics(self, values: Any, step: int) -> None:
        self.seen.append((step, dict(values)))

    def artifact(self, path: Path) -> None:
        self.files.append(path.name)

    def end(self, failed: bool = False) -> None:
        self.ended.append(failed)


@pytest.fixture(scope="module")
def loaded():
    return prunekit.load_model("digits_mlp"), prunekit.load_data("digits")


def test_pruning_and_sweeps_tell_settings_and_figures(loaded):
    model, data = loaded
    book = Notebook()
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5), log_to=book)
    assert book.asked["spec/sparsity"] == 0.5 and book.ended == []  # its owner ends it
    assert book.seen == [(0, {name: float(value) for name, value in module.flat(result.figures()).items()})]
    assert book.seen[0][1]["pruned/nonzero"] == result.after.nonzero
    book = Notebook()
    points = list(prunekit.sweep(model, prunekit.PruneSpec(), [0.2, 0.9], data, log_to=book))
    assert [(step, seen["accuracy"], seen["requested"]) for step, seen in book.seen] == [
        (place, point.accuracy.value, point.requested) for place, point in enumerate(points)
    ]


def test_each_epoch_is_told(loaded):
    model, data = loaded
    told, book = [], Notebook()
    recovery = prunekit.Recovery(epochs=2, train_images=100)
    prunekit.prune_and_recover(model, prunekit.PruneSpec(sparsity=0.9), recovery, data, report=told.append, log_to=book)
    assert book.asked["recovery/epochs"] == 2 and [step for step, _ in book.seen] == [1, 2, 2]
    for epoch, (_, seen) in zip(told, book.seen, strict=False):
        assert (seen["loss"], seen["validation/accuracy"]) == (epoch.loss, epoch.validation.value)


def test_a_tracker_that_fails_is_told_nothing_more():
    said: list[str] = []

    class Gone(Notebook):
        def metrics(self, values: Any, step: int) -> None:
            raise ConnectionError("the server is gone")

    with tracked(Gone(), "x", said.append) as logged:
        logged.metrics({"a": 1.0})
        logged.metrics({"a": 2.0})
    assert len(said) == 1 and "the server is gone" in said[0]


def test_one_that_is_named_is_opened_and_ended_as_it_went(monkeypatch):
    made: list[Notebook] = []

    def opened(where: str, name: str) -> Notebook:
        made.append(Notebook({"where": where, "name": name}))
        return made[-1]

    monkeypatch.setitem(TRACKERS, "wandb", (opened, "json"))
    with tracked("wandb:team/project", "x") as logged:
        logged.params({"spec": {"layers": ("a", "b"), "none": None}})
        logged.metrics({"nan": float("nan"), "text": "no", "one": 1})
    assert made[0].asked == {"where": "team/project", "name": "x", "spec/layers": "a, b"}
    assert made[0].seen == [(0, {"one": 1.0})] and made[0].ended == [False]
    with pytest.raises(KeyError), tracked("wandb", "x"):
        raise KeyError
    assert made[1].ended == [True]


def test_what_cannot_be_opened_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setitem(TRACKERS, "mlflow", (Notebook, "no_such_package"))
    with pytest.raises(PrunekitError, match=r"pip install 'prunekit\[mlflow\]'"):
        open_tracker("mlflow")
    assert main(["prune", "digits_mlp", "--sparsity", "0.5", "--log-to", "paper"]) == 2
    assert "one of mlflow, wandb, tensorboard" in capsys.readouterr().err
