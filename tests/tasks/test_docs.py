"""The examples of the docstrings, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prunekit.statistics
import prunekit.tasks

MODULES = [
    "prunekit.tasks",
    *(
        f"{package.__name__}.{each.name}"
        for package in (prunekit.statistics, prunekit.tasks)
        for each in pkgutil.iter_modules(package.__path__)
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    names = {"np": np, "torch": torch}
    assert doctest.testmod(importlib.import_module(name), extraglobs=names).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 8


def test_the_architectures_example_of_a_new_task_works() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
    section = page.read_text(encoding="utf-8").partition("## How to add a task")[2]
    names: dict[str, Any] = {"__name__": "example"}
    exec(section.partition("```python")[2].partition("```")[0], names)
    task, batch = names["COUNTING"], prunekit.tasks.Batch.of(torch.zeros(3, 1), torch.tensor([1, 2, 3]))
    output = {"log_rate": torch.zeros(3, requires_grad=True)}
    task.loss(output, batch).backward()
    assert output["log_rate"].grad is not None and output["log_rate"].grad.abs().min() >= 0
    seen = task.observe(output, batch)
    assert isinstance(task, prunekit.tasks.Task) and task.headline.format(task.headline.reduce(seen)) == "1.00 objects"
