"""``prunekit sweep`` and ``prunekit latency``."""

from __future__ import annotations

import json
import sys

import pytest

import prunekit
from prunekit.evaluation.accuracy import evaluate

MODES = ("unstructured", "structured")


def test_sweep_prints_points_in_order(run) -> None:
    found = json.loads(run("sweep", "digits_mlp", "--data", "digits", "--sparsities", "0.9,0,0.5", "--json"))
    assert [point["requested"] for point in found["points"]] == [0.9, 0, 0.5]
    keys = ["requested", "sparsity", "accuracy", "params", "nonzero", "macs", "effective_macs"]
    assert all(list(point) == keys for point in found["points"])
    alone = json.loads(run("prune", "digits_mlp", "--sparsity", 0.9, "--json"))
    assert found["points"][0]["accuracy"] == alone["after"]["accuracy"]
    assert found["points"][0]["nonzero"] == alone["after"]["nonzero"]
    assert found["points"][1]["accuracy"] == alone["before"]["accuracy"]
    text = run("sweep", "digits_mlp", "--sparsities", "0,0.5", "--mode", "structured")
    assert "requested" in text
    assert "50.0 %" in text


def test_a_sweep_scores_on_training_data(run) -> None:
    found = json.loads(run("sweep", "digits_mlp", "--criterion", "wanda", "--scope", "erk", "--sparsities", "0.5,0.9", "--json"))
    assert found["spec"]["criterion"] == "wanda" and [point["sparsity"] for point in found["points"]] == pytest.approx([0.5, 0.9], abs=1e-4)


def test_latency_times_three_candidates(run) -> None:
    found = json.loads(run("latency", "digits_mlp", "--budget", 0.3, "--sparsity", 0.75, "--json"))
    assert [c["name"] for c in found["candidates"]] == ["dense", "masked at 75 %", "smaller at 75 %"]
    for c in found["candidates"]:
        assert {"median_ms", "q1_ms", "q3_ms", "samples", "ratio", "macs_ratio"} <= set(c)
        assert c["samples"] == found["turns"][0]["rounds"]
        assert 0 < c["q1_ms"] <= c["median_ms"] <= c["q3_ms"]
        assert set(c["ratio"]) == {"value", "low", "high"}
    assert found["candidates"][0]["ratio"]["value"] == 1
    assert found["candidates"][1]["macs_ratio"] == pytest.approx(0.25, abs=0.001)


@pytest.fixture
def timed(monkeypatch):
    """Set what the child process says: dense, and one or two candidates that take half as long."""

    def says(candidates: int) -> None:
        names = [f"{i}-eager-1" for i in range(candidates)]
        turns = {"seconds": [[0.002] * 9, *[[0.001] * 9] * (candidates - 1)], "orders": [list(range(candidates))] * 9}
        turns |= {"repetitions": [1, *[2] * (candidates - 1)], "stopped": "narrow enough"}
        turns |= {"batch": 1, "length": 0, "phase": "pass", "rows": names, "energy_j": [None] * candidates}
        trial = {"peak_bytes": 2000, "file_bytes": 1000, "compile_s": None, "notes": [], "check": None}
        samples = {"turns": [turns], "trials": dict.fromkeys(names, trial), "energy": "not here"}
        monkeypatch.setattr(sys.modules["prunekit.latency.measure"], "run_child", lambda *args, **kwargs: samples)

    return says


def test_latency_takes_each_models_own_choices(run, timed) -> None:
    timed(3)
    words = ["--round", 8, "--target", "macs", "--criterion", "taylor", "--samples", 64]
    found = json.loads(run("latency", "digits_cnn", *words, "--json"))
    assert [spec["mode"] for spec in found["specs"]] == ["unstructured", "structured"]
    assert found["specs"][1]["target"] == "macs" and found["specs"][0]["target"] is None
    assert found["candidates"][2]["macs_ratio"] == pytest.approx(0.5, abs=0.02)


def test_latency_measures_accuracy_where_it_is_asked_for(run, timed) -> None:
    timed(3)
    found = json.loads(run("latency", "digits_mlp", "--accuracy", "--images", 90, "--sparsity", 0.8, "--json"))["candidates"]
    test = prunekit.load_data("digits").test.subset(90)
    model = prunekit.load_model("digits_mlp")
    models = {"dense": model, **{mode: prunekit.prune(model, prunekit.PruneSpec(mode=mode, sparsity=0.8)).model for mode in MODES}}
    expected = [evaluate(each, test).to_dict() for each in models.values()]
    assert [row["accuracy"] for row in found] == expected and len({row["value"] for row in expected}) == 3
    assert f"{expected[2]['value']:.1%}"[:4] in run("latency", "digits_mlp", "--accuracy", "--images", 90, "--sparsity", 0.8)
    assert all(row["accuracy"] is None for row in json.loads(run("latency", "digits_mlp", "--json"))["candidates"])


def test_latency_of_one_mode_as_text(run, timed) -> None:
    timed(2)
    text = run("latency", "digits_mlp", "--mode", "structured")
    assert "masked" not in text
    for words in (
        "smaller at 50 %",
        "baseline",
        "2.00 ",
        "2.00× (2.00 to 2.00)",
        "In eager, smaller at 50 % is 2.00× faster than dense",
        "9 rounds",
        "narrow enough",
    ):
        assert words in text
