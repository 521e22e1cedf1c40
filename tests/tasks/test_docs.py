"""The examples of the docstrings, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

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
