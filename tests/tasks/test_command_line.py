"""A task of the user's own with two inputs, from the first prune to the recipe, on the command line: nobody wrote code for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prunekit.cli import main
from tests.tasks.test_seam import MINE
from tests.tasks.test_walk import DATA

TRAINED = '''def model():
    torch.manual_seed(0)
    made, days = Tariff(), Days(300, 1)
    step = torch.optim.Adam(made.parameters(), 0.02)
    for _ in range(120):
        step.zero_grad()
        torch.nn.functional.mse_loss(made(days.load, days.kind)["demand"], days.demand).backward()
        step.step()
    return made
'''
FILE = MINE.replace("def model():\n    return Tariff()\n", TRAINED) + DATA
METRIC = "mean_error"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the user's file, and a home of its own."""
    place = tmp_path_factory.mktemp("own")
    (place / "mine.py").write_text(FILE)
    return place


@pytest.fixture(autouse=True)
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep runs beside the file."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what a command prints as JSON."""

    def ask(*words: str) -> Any:
        status = main([*words, "--json"])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return json.loads(printed.out)

    return ask


NAMED = ("mine.py:model", "--data", "mine.py:data")
