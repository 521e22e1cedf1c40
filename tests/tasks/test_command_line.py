"""A task of the user's own with two inputs, from the first prune to the recipe, on the command line: nobody wrote code for it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from prunekit.cli import main
from tests.tasks.test_seam import MINE
from tests.tasks.test_walk import DATA

TRAINED = """def model():
    torch.manual_seed(0)
    made, days = Tariff(), Days(300, 1)
    step = torch.optim.Adam(made.parameters(), 0.02)
    for _ in range(120):
        step.zero_grad()
        torch.nn.functional.mse_loss(made(days.load, days.kind)["demand"], days.demand).backward()
        step.step()
    return made
"""
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


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Any]:
    """Return one run of each mode, kept under a name, as `prune` told of them."""
    modes = {
        "half": ("--sparsity", "0.5", "--out", "half"),
        "small": ("--mode", "structured", "--sparsity", "0.5"),
        "blocks": ("--pattern", "2:4", "--epochs", "2", "--lr", "0.005"),
        "scored": ("--sparsity", "0.5", "--criterion", "taylor"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEKIT_HOME", str(folder / "home"))
        patch.chdir(folder)
        found = {}
        for name, words in modes.items():
            printed = io.StringIO()
            with redirect_stdout(printed):
                assert main(["prune", *NAMED, *words, "--name", name, "--json"]) == 0
            found[name] = json.loads(printed.getvalue())
    return found


def of(told: dict[str, Any]) -> float:
    """Return the headline, which must be the task's."""
    assert told["metric"] == METRIC and (told["metrics"][METRIC]["better"], told["metrics"][METRIC]["unit"]) == ("lower", "kWh")
    return float(told["metrics"][METRIC]["value"])


def test_every_mode_prunes_and_is_judged_in_the_tasks_words(runs: dict[str, Any]) -> None:
    for told in runs.values():
        assert of(told["before"]) < of(told["after"]) and told["achieved"]["removed"] > 0
        assert told["after"]["metrics"][METRIC]["n"] == 100
    assert runs["small"]["proof"]["passed"]
    assert of(runs["blocks"]["after"]) < of(runs["half"]["after"])  # it was fine-tuned


def test_a_sweep_and_sensitivity_speak_of_the_metric(told: Any) -> None:
    found = told("sweep", *NAMED, "--sparsities", "0.3,0.9")
    first, last = (point[METRIC] for point in found["points"])
    assert found["dense"]["metric"] == METRIC and found["dense"]["value"] < first["value"] < last["low"]
    curves = told("sensitivity", *NAMED, "--sparsities", "0.5", "--drop", "0.5")
    assert {layer["name"] for layer in curves["layers"]} == {"hidden", "kind", "out"}


def test_how_far_it_can_go_is_found_and_confirmed_in_the_metrics_unit(told: Any) -> None:
    found = told("sweep", *NAMED, "--images", "40", "--hold", "1.5")  # lower is better: at most there
    dense, at, allowed = found["dense"]["value"], found["sparsity"], found["allowed"]
    losses = {point["requested"]: point[METRIC]["value"] - dense for point in found["points"]}
    assert 0 < at < 0.99 and allowed == pytest.approx(1.5 - dense) and losses[at] <= allowed < max(losses.values())
    assert all(loss <= allowed for sparsity, loss in losses.items() if sparsity <= at)
    assert found["split"] == "validation" and found["drop"]["n"] == 40 and "rise" in found["sentence"]
    assert "on 100 test days" in found["test"]["sentence"]  # which have chosen nothing


def test_what_the_dense_model_does_not_have_cannot_be_held(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *NAMED, "--hold", "0"]) == 2
    assert "--hold 0 asks for more than the dense model has" in capsys.readouterr().err
    assert main(["sweep", *NAMED, "--lose", "1", "--sparsities", "0.5"]) == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.slow
def test_latency_is_measured_in_runtimes_that_give_the_same_outputs(told: Any) -> None:
    found = told("latency", *NAMED, "--mode", "structured", "--runtime", "eager,onnxruntime,int8", "--budget", "0.2", "--accuracy")
    rows = {(row["name"], row["runtime"]): row for row in found["candidates"]}
    assert len(rows) == 6 and all(row["error"] is None and row["check"]["n"] == 64 for row in rows.values())
    assert found["checked_on"] == "64 validation days"
    for row in rows.values():
        assert of(row) > 0
    assert 0 < abs(of(rows["dense", "int8"]) - of(rows["dense", "eager"])) < 0.2


def test_runs_are_compared_repeated_and_checked(runs: dict[str, Any], told: Any) -> None:
    found = told("compare", "half", "small")
    assert not found["caution"] and [column["metrics"][METRIC]["better"] for column in found["columns"]] == ["lower"] * 2
    again = told("apply", "half")
    assert again["same_masks"] and again["within"] and of(again) == pytest.approx(of(runs["half"]["after"]))
    checked = told("check", "half")
    assert checked["same"] and "answers as the model that was saved" in checked["sentence"]


@pytest.mark.slow
def test_an_archive_opens_without_prunekit_and_its_figure_is_measured_again(runs: dict[str, Any], told: Any, folder: Path) -> None:
    found = told("export", "small", "--out", "small.zip")
    agrees = {form["file"]: form["agrees"] for form in found["formats"]}
    assert agrees["model.onnx"] and agrees["model.pt2"]
    checked = told("check", "small.zip")
    assert checked["same"] and of(checked) == pytest.approx(of(runs["small"]["after"]), rel=1e-5)
    taken = told("import", "small.zip", "--name", "taken")
    assert taken["info"]["params"] == runs["small"]["after"]["params"]
