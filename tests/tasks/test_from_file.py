"""A task of the user's own, from a file: little to define, one clear error, and its code is part of what it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.config.ids import ModelId
from prunekit.errors import DataError, TaskError
from prunekit.experiments.identity import for_task, weights_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.from_file import EXAMPLE, load_task
from prunekit.tasks.observations import Observations
from prunekit.tasks.registry import task
from prunekit.tasks.resolver import resolve


def written(tmp_path: Path, text: str, name: str = "task") -> str:
    (tmp_path / "mine.py").write_text(text)
    return f"{tmp_path / 'mine.py'}:{name}"


def test_the_example_of_the_error_is_a_whole_task(tmp_path: Path) -> None:
    assert 14 <= len(EXAMPLE.splitlines()) <= 16
    own = task(written(tmp_path, EXAMPLE))
    output, target = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 2.0, 3.0])
    batch = Batch.of(torch.zeros(3, 2), target)
    seen = own.observe(output, batch)
    assert own.headline.format(own.headline.reduce(seen)) == "0.333 kWh" and own.headline.better == "lower"
    assert float(own.loss(output, batch)) == pytest.approx(1 / 3)
    assert own.count(2) == "2 days" and own.tensors(output)["output"] is output
    assert own.headline.compare(seen, seen).p_value == 1.0
    model = nn.Linear(2, 1)
    model.input_shape = (2,)  # type: ignore[assignment]
    assert own.forward(model, own.example(model)).shape == (2, 1)
    assert own.collate([(torch.zeros(2), 0.5)] * 4).targets.tolist() == [0.5] * 4


WHOLE = """
import torch
from numbers_of_mine import SCALE
from prunekit.tasks import Batch

def cost(seen):
    return seen["cost"].mean() * SCALE
cost.better, cost.unit, cost.title = "lower", "EUR", "Mean cost"

class Clicks:
    title, unit_of_data, units_of_data = "clicks of mine", "user", "users"
    def __init__(self):
        self.metrics = [cost]
    def example(self, model):
        return {"age": torch.zeros(2, 3), "ids": torch.ones(2, dtype=torch.int64)}
    def forward(self, model, batch):
        return {"p": batch.kwargs["age"].sum(1) + batch.kwargs["ids"]}
    def tensors(self, output):
        return {"probability": output["p"]}
    def loss(self, output, batch):
        return (output["p"] - batch.targets).square().mean()
    def observe(self, output, batch):
        return {"cost": output["p"] - batch.targets, "groups": batch.kwargs["ids"]}
    def collate(self, samples):
        return {"age": torch.stack([x for x, _ in samples]), "ids": torch.arange(len(samples))}, torch.tensor([y for _, y in samples])

def make():
    return Clicks()
"""


def test_what_a_task_defines_holds_instead_of_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_mine.py").write_text("SCALE = 2\n")
    for name in ("Clicks", "make"):
        own = load_task(written(tmp_path, WHOLE, name))
        model = nn.Identity()
        batch = own.example(model)
        assert {key: each.dtype for key, each in batch.named_tensors()} == {"age": torch.float32, "ids": torch.int64}
        samples = own.collate([(torch.ones(3), 1.0), (torch.zeros(3), 3.0)])
        output = own.forward(model, samples)
        assert list(own.tensors(output)) == ["probability"] and float(own.loss(output, samples)) == pytest.approx(4)
        assert float(own.distance(output, {"p": output["p"] + 2}, samples)) == pytest.approx(4)
        seen = own.observe(output, samples)
        assert seen.groups is not None and seen.groups.tolist() == [0, 1]
        assert own.headline.format(own.headline.reduce(seen)) == "0 EUR" and own.headline.title == "Mean cost"
        assert (own.title, own.count(3)) == ("clicks of mine", "3 users")


def test_a_distance_of_ones_own(tmp_path: Path) -> None:
    own = load_task(
        written(
            tmp_path,
            EXAMPLE
            + "\nDemand.distance = lambda self, output, teacher, batch, temperature: temperature * (output - teacher).abs().max()\n",
        )
    )
    output, batch = torch.zeros(3, 1), Batch.of(torch.zeros(3, 1))
    assert float(own.distance(output, output + 2, batch, 3.0)) == 6


def test_its_code_is_part_of_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_mine.py").write_text("SCALE = 2\n")
    name = written(tmp_path, WHOLE, "make")
    first, again = load_task(name), load_task(name)
    assert first.identity == again.identity and hash(first) is not None
    (tmp_path / "numbers_of_mine.py").write_text("SCALE = 3\n")
    seen = Observations.of(cost=[1.0, 2.0])
    other = load_task(name)
    assert other.identity != first.identity
    assert (first.headline.reduce(seen), other.headline.reduce(seen)) == (3.0, 4.5)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in ("mine.py", "numbers_of_mine.py"):
        (moved / file).write_text((tmp_path / file).read_text())
    assert load_task(f"{moved / 'mine.py'}:make").identity == other.identity


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task = 3", "is a int without metrics and loss and observe"),
        (
            "class task:\n    metrics = ()\n    def loss(self, output, batch): ...\n    def observe(self, output, batch): ...",
            "has no metric",
        ),
        (
            "class task:\n    metrics = [abs]\n    def loss(self, output, batch): ...\n    def observe(self, output, batch): ...",
            "must be a function of observations that says which way is better",
        ),
    ],
)
def test_what_is_no_task_is_told_how_one_looks(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TaskError, match=told) as failure:
        load_task(written(tmp_path, text))
    assert EXAMPLE in str(failure.value)


FAILING = """
import torch
from prunekit.tasks import metric

@metric(better="lower")
def cost(seen):
    return seen["value"] / {}["nothing"]

class Broken:
    metrics = [cost]
    def __init__(self, loss=None, observed=None):
        self.made, self.observed = loss, observed
    def loss(self, output, batch):
        return [][int(output[0])] if self.made is None else self.made
    def observe(self, output, batch):
        return output / [] if self.observed is None else self.observed
task = Broken()
vector = Broken(torch.zeros(3), {"value": [1, 2]})
"""


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        ("task", "loss", r"loss of .*mine.py:task failed: IndexError: .*\(mine.py, line 14\)"),
        ("task", "observe", r"observe of .* failed: TypeError: .*line 16"),
        ("vector", "loss", r"must return one number as a tensor.*; it returned a tensor of shape \[3\]"),
        ("vector", "observe", "must return a row for each of 3 samples; it returned 2"),
    ],
)
def test_what_fails_inside_is_one_plain_sentence(tmp_path: Path, name: str, asked: str, told: str) -> None:
    own = load_task(written(tmp_path, FAILING, name))
    with pytest.raises(TaskError, match=told):
        getattr(own, asked)(torch.zeros(3), Batch.of(torch.zeros(3, 1), torch.zeros(3)))
    with pytest.raises(TaskError, match=r"the metric cost of .* failed: KeyError: 'nothing' \(mine.py, line 7\)"):
        own.headline.reduce(Observations.of(value=[1.0]))


@pytest.mark.parametrize(("made", "columns"), [(np.zeros(3), ("value",)), (torch.zeros(3, 2), ("value.0", "value.1"))])
def test_one_column_needs_no_name(tmp_path: Path, made: Any, columns: tuple[str, ...]) -> None:
    own = load_task(written(tmp_path, FAILING, "vector"))
    own.own.observed = made
    assert own.observe(None, Batch.of(torch.zeros(3, 1))).columns == columns


def test_a_name_that_is_nowhere_is_close_to_one_that_is(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no task 'image-clasification': did you mean image-classification"):
        task("image-clasification")
    with pytest.raises(TaskError, match=r"it must be image-classification, .*text-classification"):
        task("zzz")
    with pytest.raises(TaskError, match="there is no file"):
        task(str(tmp_path / "none.py:task"))
    with pytest.raises(TaskError, match="has no 'tusk': did you mean task"):
        load_task(written(tmp_path, "def task(): ...", "tusk"))
    with pytest.raises(DataError, match="not observed"):
        task("regression").headline.reduce(Observations.of(value=[1.0]))


def test_two_tasks_of_one_class_name_are_told_by_their_code_wherever_it_lies(tmp_path: Path) -> None:
    """A model's file and a data's file may both hold a copy; another content, attribute or local module is another task."""
    whole = EXAMPLE.replace("class Demand:", "class Demand:\n    scale = 1")
    places = {name: tmp_path / name for name in ("here", "moved", "other", "kept")}
    for place in places.values():
        place.mkdir()
    kept = EXAMPLE.replace("task = Demand()", "task = Demand()\ntask.weight = 2.0")
    texts = {"here": EXAMPLE, "moved": EXAMPLE, "other": whole, "kept": kept}
    made = {name: task(written(place, texts[name])) for name, place in places.items()}
    assert made["here"].identity == made["moved"].identity
    assert len({each.identity for each in made.values()}) == 3
    model = nn.Linear(2, 1)
    model.task = made["here"].own  # type: ignore[attr-defined,assignment]
    data = SimpleNamespace(task=made["moved"].own)
    found = resolve(model, data)
    assert found.identity == made["here"].identity and task(found.name).identity == found.identity
    data.task = made["other"].own
    with pytest.raises(TaskError, match="which task is it"):
        resolve(model, data)


def test_the_task_that_data_alone_tell_is_part_of_the_run(tmp_path: Path) -> None:
    own = task(written(tmp_path, EXAMPLE))
    model = nn.Linear(2, 1)
    silent, telling = SimpleNamespace(), SimpleNamespace(task=own.own)
    name = ModelId("digits_cnn")
    assert for_task(name, model, silent) is name and for_task(name, model, SimpleNamespace(task="image-classification")) is name
    told = for_task(name, model, telling)
    assert told.task == str(tmp_path / "mine.py") + ":task"
    assert weights_of(model) != weights_of(model, None, told.task) == weights_of(model, None, own.name)
