"""A network of one's own, and commands that go well or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.cli import main

NET = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
make.input_shape = (1, 8, 8)

def talk():
    print("a word on stdout")
    return make()
talk.input_shape = (1, 8, 8)

def broken():
    raise RuntimeError("two\\nlines")

def plain():
    return nn.Sequential(nn.ReLU())
plain.input_shape = (4,)

def damaged():
    model = make()
    nn.init.constant_(model[2].weight, float("nan"))
    return model
damaged.input_shape = (1, 8, 8)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command; return its stdout, having checked that it went well and said nothing else."""

    def call(*argv: object) -> str:
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]):
    """Run one command; return its one line of complaint."""

    def call(*argv: object) -> str:
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert code == 2
        assert out == ""
        assert err.startswith("prunekit: error: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err

    return call
