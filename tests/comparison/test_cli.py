"""`prunekit compare`: what is missing is measured, what is stored is only read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunekit.cli import main
from prunekit.comparison.compare_runs import compare_runs
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.home import store
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs in a store of their own, measured on validation images alone."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    specs = [PruneSpec(sparsity=0.5), PruneSpec(mode="structured", sparsity=0.4)]
    requests = [AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), spec, split="validation") for spec in specs]
    return [measure_one(request, store()).run for request in requests]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def told(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_stored_measures_nothing_and_without_it_what_is_missing_is_measured(runs: list[str], say: Say, tmp_path: Path) -> None:
    code, out, _ = say("compare", *runs, "--stored", "--json")
    bare = told(out)
    assert code == 0 and bare["images"] == 0 and all(column["accuracy"] is None for column in bare["columns"])
    assert bare["best"] == "" and set(runs) <= set(bare["missing"])
    code, out, _ = say("compare", *[run[:10] for run in runs], "--json", "--csv", str(tmp_path / "numbers.csv"))
    full = told(out)
    assert code == 0 and full["images"] == 360 and full["missing"] == [] and full["best"] in ("A", "B")
    assert [column["run"] for column in full["columns"]] == runs
    assert told(json.dumps(compare_runs(runs, RunStore(store().path)).to_dict())) == full
    frame = pd.read_csv(tmp_path / "numbers.csv").set_index("letter")
    assert list(frame.index) == ["Dense", "A", "B"]
    for column in (full["baseline"], *full["columns"]):
        assert frame.loc[column["letter"], "accuracy"] == pytest.approx(column["accuracy"]["value"])
        assert frame.loc[column["letter"], "surgery"] == column["sizes"]["surgery"]
    code, out, _ = say("compare", *runs, "--stored")
    assert code == 0 and out.startswith(full["answer"]) and "* removed" in out


def test_bad_input_is_one_line_and_ends_with_2(runs: list[str], say: Say) -> None:
    for words, expected in (
        (["abcdef"], "there is no run"),
        ([runs[0]], "2 to 6"),
        (["x"], "is no run"),
        (runs * 2 + ["--split", "no"], "--split"),
    ):
        code, out, err = say("compare", *words)
        assert code == 2 and out == "" and expected in err and err.count("\n") == 1


def test_a_file_that_cannot_be_written_leaves_nothing_behind(runs: list[str], say: Say, tmp_path: Path) -> None:
    code, _, err = say("compare", *runs, "--stored", "--csv", str(tmp_path / "nowhere" / "x.csv"))
    assert code == 2 and "cannot write" in err
    (tmp_path / "folder").mkdir()
    code, _, err = say("compare", *runs, "--stored", "--csv", str(tmp_path / "folder"))
    assert code == 2 and "cannot write" in err and not list(tmp_path.glob("**/*.part"))


def test_a_gate_ends_with_3_where_a_limit_is_broken(runs: list[str], say: Say) -> None:
    words = ("compare", "dense", runs[1], "--split", "validation", "--json")
    code, out, err = say(*words, "--fail-below", "0.2", "--fail-if-lost", "0.9")
    gate = told(out)["gate"]
    assert code == 0 and err == "" and gate["passed"] and [check["what"] for check in gate["checks"]] == ["value", "lost"]
    value, lost = (check["value"] for check in gate["checks"])
    column = told(out)["columns"][0]
    assert value == column["accuracy"]["value"] and lost == pytest.approx(-column["difference"]["value"])
    code, out, err = say(*words, "--fail-below", str(value + 0.001), "--fail-if-lost", str(lost - 1e-6))
    assert code == 3 and not told(out)["gate"]["passed"] and err.count("prunekit: failed: ") == 2
    assert say(*words, "--fail-below", str(value), "--fail-if-lost", str(lost))[0] == 0
    assert say(*words, "--fail-below", str(value), "--sure")[0] == 3
    code, out, err = say("compare", "dense", runs[1], "--stored", "--split", "test", "--fail-below", "0.5")
    assert code == 2 and "was not measured" in err and out == ""
    for wrong, expected in (
        (("--fail-below", "97"), "0.97 for 97 %"),
        (("--fail-if-lost", "-1"), "at least 0"),
        (("--sure",), "--sure says"),
    ):
        code, _, err = say(*words, *wrong)
        assert code == 2 and expected in err
