"""``prunekit sweep``: through the store, on a subset, over seeds, where the curve bends, and after recovery."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

import prunekit
from prunekit.cli import main
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.evaluation.accuracy import evaluate
from prunekit.experiments import experiment
from prunekit.experiments.home import store
from prunekit.training.gradual import recover

KEYS = ["requested", "sparsity", "accuracy", "params", "nonzero", "macs", "effective_macs"]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    calls: list[int] = []

    def counting(model, part, **more):
        calls.append(len(part))
        return evaluate(model, part, **more)

    monkeypatch.setattr(experiment, "evaluate", counting)
    return calls


@pytest.fixture
def run(capsys):
    """Carry out a sweep; return its JSON and what it said on stderr."""

    def carry_out(*words: object) -> tuple[dict, str]:
        assert main(["sweep", "digits_mlp", *map(str, words), "--json"]) == 0
        out, err = capsys.readouterr()
        return json.loads(out), err

    return carry_out


def test_what_was_measured_is_read_the_next_time(run, measured: list[int]) -> None:
    first, said = run("--sparsities", "0.9,0.5")
    assert said == "" and len(measured) == 3
    assert run("--sparsities", "0.9,0.5") == (first, "") and len(measured) == 3
    again, _ = run("--sparsities", "0.9,0.5", "--no-store")
    assert again == first and len(measured) == 6
    assert len(store().runs(kind="pruned")) == 2
    assert first["dense"] == evaluate(prunekit.load_model("digits_mlp"), load_data("digits").test).to_dict()


def test_nothing_is_kept_where_that_is_asked_for(run, home: Path) -> None:
    run("--sparsities", "0.5", "--no-store")
    assert not home.exists()


def test_a_store_that_cannot_be_opened_costs_one_line(run, home: Path) -> None:
    home.write_text("a file where the folder should be")
    found, said = run("--sparsities", "0.5")
    assert len(found["points"]) == 1
    assert said.count("\n") == 1 and said.startswith("prunekit: warning:") and "not kept" in said


def test_a_part_of_the_data_and_a_subset_of_it(run) -> None:
    found, _ = run("--sparsities", "0,0.5", "--split", "validation", "--images", 40)
    assert found["split"] == "validation" and found["images"] == 40
    assert [point["accuracy"]["n"] for point in found["points"]] == [40, 40] and found["dense"]["n"] == 40
    model, part = prunekit.load_model("digits_mlp"), load_data("digits").validation
    assert part is not None and found["dense"] == evaluate(model, part.subset(40)).to_dict()


def test_repeats_tell_how_far_seeds_lie_apart(run, measured: list[int]) -> None:
    words = ("--criterion", "random", "--seed", 3, "--sparsities", "0.6,0.3", "--repeats", 3)
    found, said = run(*words)
    assert said == "" and len(measured) == 7  # the dense model once
    assert [repeat["seed"] for repeat in found["repeats"]] == [3, 4, 5]
    assert found["points"] == found["repeats"][0]["points"]
    for place, row in enumerate(found["spread"]):
        values = [repeat["points"][place]["accuracy"]["value"] for repeat in found["repeats"]]
        assert row["requested"] == [0.6, 0.3][place] and row["n_seeds"] == 3
        assert row["mean"] == pytest.approx(statistics.fmean(values)) and row["sd"] == pytest.approx(statistics.stdev(values))
        assert (row["min"], row["max"]) == (min(values), max(values))
    alone, _ = run("--criterion", "random", "--seed", 4, "--sparsities", "0.6,0.3")
    assert alone["points"] == found["repeats"][1]["points"] and "spread" not in alone
    assert len({json.dumps(repeat["points"]) for repeat in found["repeats"]}) == 3


def test_repeats_without_chance_are_the_same_and_that_is_said(run) -> None:
    found, said = run("--sparsities", "0.9", "--repeats", 2)
    assert "nothing in this setting depends on the seed" in said and said.count("\n") == 1
    assert found["spread"][0]["sd"] == 0


def test_points_go_where_the_curve_bends_and_repeats_follow_the_first(run) -> None:
    found, _ = run("--criterion", "random", "--evaluations", 5, "--repeats", 2)
    places = [point["requested"] for point in found["points"]]
    assert len(places) == 4 and places == sorted(places) and max(places) == 0.99  # with the dense model that makes five
    assert [point["requested"] for point in found["repeats"][1]["points"]] == places
    assert all(list(point) == KEYS for point in found["points"])


def test_recovery_is_part_of_a_sweep(run, capsys) -> None:
    found, _ = run("--sparsities", "0.9", "--epochs", 1, "--seed", 2, "--split", "validation")
    assert found["recovery"] == Recovery(epochs=1, seed=2).to_dict()
    model, data = prunekit.load_model("digits_mlp"), load_data("digits")
    alone = recover(model, PruneSpec(sparsity=0.9, seed=2), Recovery(epochs=1, seed=2), data)
    assert found["points"][0]["accuracy"] == evaluate(alone.model, data.validation).to_dict()
    assert main(["sweep", "digits_mlp", "--sparsities", "0.9", "--epochs", "1", "--seed", "2", "--repeats", "2"]) == 0
    text = capsys.readouterr().out
    assert "fine-tuned 1 epoch" in text and "over 2 seeds" in text and "dense: 98.6 %" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--evaluations", "1"], "evaluations"),
        (["--images", "-1"], "images"),
        (["--split", "tset"], "invalid choice"),
    ],
)
def test_bad_flags_are_one_line(capsys, words: list[str], says: str) -> None:
    assert main(["sweep", "digits_mlp", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and says in err
