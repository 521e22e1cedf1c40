"""Whose word counts: card, factory, data and what is asked for must agree."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from prunekit.data.load import load_data
from prunekit.errors import ModelError, TaskError
from prunekit.models.info import ModelInfo, remember
from prunekit.models.load import load_model
from prunekit.tasks.classification import Classification
from prunekit.tasks.registry import register, task
from prunekit.tasks.regression import Regression
from prunekit.tasks.resolver import kind_of_targets, resolve

FACTORY = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.linear = nn.Embedding(9, 4), nn.Linear(4, 1)
    def forward(self, x, ids):
        return self.linear(x + self.table(ids))

class Own:
    metrics = []
    def loss(self, output, batch): return output.mean()
    def observe(self, output, batch): return output[:, 0]

def worst(seen): return seen["value"].max()
worst.better = "lower"
Own.metrics = [worst]

def make():
    return Two()
make.task = {task}
make.example = {example}
"""


def made(tmp_path: Path, task: str = "None", example: str = "None") -> nn.Module:
    (tmp_path / "net.py").write_text(FACTORY.replace("{task}", task).replace("{example}", example))
    return load_model(f"{tmp_path / 'net.py'}:make")


def data(targets: Any, **told: Any) -> SimpleNamespace:
    return SimpleNamespace(test=SimpleNamespace(targets=targets), train=None, **told)


NUMBERS, CLASSES = np.linspace(0, 1, 5, dtype=np.float32), np.arange(5)


def test_nothing_said_is_what_it_was() -> None:
    for model in (None, load_model("digits_mlp"), nn.Linear(2, 2)):
        for each in (None, load_data("digits"), data(CLASSES)):
            assert resolve(model, each) == task("image-classification")


def test_samples_that_are_no_images_are_not_called_so_and_their_runs_keep_their_name() -> None:
    for shown, words in ((True, ("image classification", "2 images")), (False, ("classification", "2 samples"))):
        found = resolve(None, SimpleNamespace(test=SimpleNamespace(labels=CLASSES, pictured=shown)))
        assert (found.title, found.count(2)) == words and found.identity == "image-classification"


@pytest.mark.parametrize(
    ("targets", "kind"),
    [(NUMBERS, "numbers"), (CLASSES, "classes"), (torch.zeros(3), "numbers"), ([1, 2], "classes"), ([0.5, 2], "numbers"), (["a"], ""),
     (None, ""), (torch.zeros(2, 4, 4, dtype=torch.uint8), "masks"), ([{"boxes": [], "labels": []}], "boxes")],
)  # fmt: skip
def test_targets_speak_where_nobody_else_does(targets: Any, kind: str) -> None:
    assert kind_of_targets(data(targets)) == kind
    named = {"numbers": "regression", "masks": "semantic-segmentation", "boxes": "object-detection"}.get(kind, "image-classification")
    assert resolve(None, data(targets)).name == named
    for asked in {"regression", "semantic-segmentation", "object-detection"} - {named} if kind in ("masks", "boxes") else ():
        with pytest.raises(TaskError, match=f"'{asked}', and the targets of the data are .*, as for '{named}'"):
            resolve(None, data(targets), asked)


def test_targets_of_a_dataset_and_of_a_split() -> None:
    assert kind_of_targets(load_data("digits")) == kind_of_targets(load_data("digits").test) == "classes"
    assert kind_of_targets(TensorDataset(torch.zeros(2, 3), torch.zeros(2))) == "numbers"
    assert kind_of_targets(TensorDataset(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))) == "classes"
    assert kind_of_targets(TensorDataset(torch.zeros(0, 3), torch.zeros(0))) == ""
    assert kind_of_targets(object()) == ""


def test_card_factory_data_and_question_each_can_say_it(tmp_path: Path) -> None:
    wanted = task("table-regression")
    card = remember(nn.Linear(2, 1), ModelInfo(card={"task": "table-regression"}))
    assert resolve(card) == wanted
    assert resolve(made(tmp_path, "'table-regression'")) == wanted
    assert resolve(None, data(NUMBERS, task="table-regression")) == wanted
    assert resolve(None, None, "table-regression") == resolve(None, None, wanted) == wanted
    assert resolve(card, data(NUMBERS, task="table-regression"), wanted) == wanted


def test_two_that_disagree_are_both_named(tmp_path: Path) -> None:
    model = made(tmp_path, "'table-regression'")
    with pytest.raises(TaskError, match=r"you ask for 'regression' and the model's factory says 'table-regression'"):
        resolve(model, None, "regression")
    with pytest.raises(TaskError, match=r"the model's factory says 'table-regression' and the data say 'text-classification'"):
        resolve(model, data(CLASSES, task="text-classification"))
    with pytest.raises(TaskError, match="'table-regression', and the targets of the data are classes"):
        resolve(model, load_data("digits"))
    with pytest.raises(TaskError, match="you ask for 'image-classification', and the targets of the data are numbers"):
        resolve(None, data(NUMBERS), "image-classification")
    assert resolve(model, data(CLASSES)).name == "table-regression"  # counts are integers, too
    with pytest.raises(TaskError, match="no task 'regresion': did you mean regression"):
        resolve(made(tmp_path, "'regresion'"))


def test_a_task_of_the_factorys_own(tmp_path: Path) -> None:
    model = made(tmp_path, "Own()", "lambda: (torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))")
    own = resolve(model)
    batch = own.example(model)
    assert batch.samples == 3 and [each.dtype for each in batch.args] == [torch.float32, torch.int64]
    seen = own.observe(own.forward(model, batch), batch)
    assert seen.n == 3 and own.headline.name == "worst"
    other = resolve(made(tmp_path, "Own()", "(torch.zeros(4, 4), torch.ones(4, dtype=torch.int64))"))
    assert other.identity != own.identity  # another file, another task


def test_a_model_that_says_nothing_of_its_inputs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="attribute example"):
        task("regression").example(made(tmp_path))


def test_methods_and_layers_that_are_called_so_are_not_meant(tmp_path: Path) -> None:
    text = (
        FACTORY
        + """
class Net(Two):
    input_shape = (4,)
    def __init__(self):
        super().__init__()
        self.task = nn.Linear(2, 2)
    def example(self):
        return 3
    def forward(self, x):
        return self.linear(x)
ready = Net()
"""
    )
    (tmp_path / "net.py").write_text(text.replace("{task}", "None").replace("{example}", "None"))
    for name in ("Net", "ready"):
        model = load_model(f"{tmp_path / 'net.py'}:{name}")
        assert resolve(model).name == "image-classification"
        assert task("regression").example(model).args[0].shape == (2, 4)


def test_standardised_targets_bring_their_unit() -> None:
    found = resolve(None, data(NUMBERS, target_scale={"mean": 152.0, "std": 77.0, "unit": "points"}), "table-regression")
    assert isinstance(found, Regression) and found.std == 77.0 and found.metric("mae").unit == "points"


def test_a_registered_task_is_found_and_no_name_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from prunekit.tasks import registry

    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    mine = Classification("scent-classification", "scents", task("image-classification").metrics, "scent", "scents")
    assert register(mine) is mine and register(mine) is mine and task("scent-classification") is mine
    with pytest.raises(TaskError, match="already"):
        register(Classification("scent-classification", "others", mine.metrics))


@pytest.mark.parametrize(("said", "example"), [("'language-modelling'", "torch.ones(2, 4, dtype=torch.long)"),
                                               ("'text-classification'", "None"),
                                               ("'recommendation'", "{'x': torch.zeros(2), 'ids': torch.ones(2).long()}")])  # fmt: skip
def test_pictures_are_no_samples_of_a_model_that_reads_none(tmp_path: Path, said: str, example: str) -> None:
    with pytest.raises(TaskError, match=rf"{said}, and the samples of the data are pictures.*Give it \w+:PATH"):
        resolve(made(tmp_path, said, example), load_data("digits"))
