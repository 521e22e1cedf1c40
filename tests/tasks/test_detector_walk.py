"""A detector on the command line, from pruning in each mode to an archive that answers as it: everything above the seam."""

import io
import json
from contextlib import redirect_stdout

import pytest

from prunekit.cli import main

pytestmark = pytest.mark.slow
FEW = ("canvas_detector", "--limit", "24")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A command, as JSON."""
    folder = tmp_path_factory.mktemp("detector")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEKIT_HOME", str(folder / "home"))
        patch.chdir(folder)

        def ask(*words):
            printed = io.StringIO()
            with redirect_stdout(printed):
                assert main([*words, "--json"]) == 0
            return json.loads(printed.getvalue())

        yield ask


@pytest.fixture(scope="module")
def runs(told):
    """One run of each mode."""
    removed = ("--mode", "structured", "--sparsity", "0.2")
    modes = {
        "zeros": ("--sparsity", "0.3"),
        "blocks": ("--pattern", "2:4", "--criterion", "wanda"),
        "removed": (*removed, "--out", "small"),
        "again": (*removed, "--recalibrate"),
        "tuned": (*removed, "--criterion", "taylor", "--epochs", "1", "--optimizer", "adam", "--lr", "0.001", "--distill", "0.5"),
    }
    return {name: told("prune", *FEW, *words, "--name", name) for name, words in modes.items()}


def test_every_mode_is_judged_by_average_precision(runs):
    for found in runs.values():
        before, after = (found[when]["metrics"] for when in ("before", "after"))
        assert {"map_50", "map", "map_small", "map_medium", "map_large"} <= set(before) and before["map_50"]["n"] == 24
        assert before["map_50"]["value"] > 0.9 and after["map_50"]["unit"] == "%"
    for name in ("removed", "again", "tuned"):
        assert runs[name]["proof"]["passed"]
    assert runs["zeros"]["after"]["metrics"]["map_50"]["value"] > runs["removed"]["after"]["metrics"]["map_50"]["value"]
    assert runs["tuned"]["after"]["metrics"]["map_50"]["value"] > runs["removed"]["after"]["metrics"]["map_50"]["value"]


def test_sweeps_sensitivity_and_comparison_speak_of_it(told, runs):
    found = told("sweep", *FEW, "--sparsities", "0.2,0.8")
    first, last = (point["map_50"]["value"] for point in found["points"])
    assert found["dense"]["metric"] == "map_50" and found["dense"]["value"] >= first > last
    curves = told("sensitivity", *FEW, "--sparsities", "0.5", "--images", "12")
    assert {"lateral.0.0", "heads.0.tower.0", "heads.0.sides"} <= {layer["name"] for layer in curves["layers"]}
    compared = told("compare", "removed", "tuned")
    assert "map_50" in json.dumps(compared)


def test_it_is_timed_exported_and_answers_as_it_was_saved(told, runs):
    timed = told(
        "latency", *FEW, "--mode", "structured", "--sparsity", "0.2", "--budget", "1", "--accuracy", "--runtime", "eager,onnxruntime,int8"
    )
    measured = {(row["name"], row["runtime"]): row for row in timed["candidates"]}
    assert len(measured) >= 6 and not any(row["error"] for row in measured.values())
    dense = {runtime: row["metrics"]["map_50"]["value"] for (name, runtime), row in measured.items() if name == "dense"}
    assert dense["onnxruntime"] == pytest.approx(dense["eager"], abs=1e-3) and dense["int8"] > dense["eager"] - 0.1
    agrees = {form["file"]: form["agrees"] for form in told("export", "tuned", "--out", "tuned.zip")["formats"]}
    assert agrees["model.onnx"] and agrees["model.pt2"] and told("check", "tuned.zip")["same"]
    assert told("apply", "small")["within"]
