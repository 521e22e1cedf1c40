"""A model and data of one's own on the command line: what nobody gave is read from the data, or called a guess; chance is called chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunekit.cli import main
from prunekit.experiments.home import store
from prunekit.local_code import contract
from tests import own_nets
from tests.tables import case


@pytest.fixture
def own(tmp_path: Path) -> str:
    return own_nets.write(tmp_path)


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    return own_nets.pictures(tmp_path)


def test_the_shape_of_own_data_counts(run, own: str) -> None:
    found = json.loads(run("prune", f"{own}:net", "--data", f"{own}:data", "--sparsity", 0.5, "--json"))
    assert found["before"]["macs"] == 18 * 30 * 12 + 8 and found["before"]["accuracy"]["value"] == 1.0
    assert found["guesses"] == [] and found["chance"] is None
    assert json.loads(run("inspect", f"{own}:net", "--data", f"{own}:data", "--json"))["input_shape"] == [3, 18, 30]


def test_a_guess_is_called_one_in_text_and_json_and_stays_one_in_a_folder(run, own: str, tmp_path: Path) -> None:
    found = json.loads(run("prune", f"{own}:net", "--sparsity", 0.5, "--out", tmp_path / "out", "--json"))
    assert "3 × 32 × 32 is a guess" in found["guesses"][0]
    for words in (("inspect", f"{own}:net"), ("inspect", tmp_path / "out"), ("prune", tmp_path / "out", "--sparsity", 0.6)):
        with case(words):
            assert "3 × 32 × 32 is a guess" in run(*words)
    assert "is a guess" not in run("inspect", f"{own}:net", "--size", 24)


def test_a_run_of_a_size_that_was_given_notes_no_guess(run, own: str) -> None:
    for words, guessed in (((), True), (("--size", 24), False)):
        saved = json.loads(run("prune", f"{own}:net", "--data", "none", "--sparsity", 0.5, "--save", "--json", *words))["run"]
        assert ("is a guess" in str(store().find(saved).info.get("guesses"))) == guessed, words


def test_no_better_than_chance_asks_about_the_preprocessing(run, own: str, pictures: str) -> None:
    words = ("prune", f"{own}:net", "--data", pictures, "--sparsity", 0.5)
    wrong = json.loads(run(*words, "--json"))
    assert wrong["before"]["accuracy"]["value"] == 0.5
    assert "no better than chance" in wrong["chance"] and "preprocessing" in wrong["chance"] and "mean and std" in wrong["chance"]
    assert "0 to 1" in wrong["guesses"][0]
    assert wrong["before"]["macs"] == 12 * 12 * 12 + 8  # at the size of the images
    text = run(*words)
    assert text.count("no better than chance") == 1 and "0 to 1" in text
    given = ("--mean", "0.49,0.49,0.49", "--std", "0.2,0.2,0.2")
    right = json.loads(run(*words, *given, "--json"))
    assert right["before"]["accuracy"]["value"] == 1.0 and right["chance"] is None and right["guesses"] == []
    turned = json.loads(run(*words, *given, "--classes", "b,a", "--json"))
    assert turned["before"]["accuracy"]["value"] == 0.0 and "chance" in turned["chance"] and turned["data"]["classes"] == ["b", "a"]
    for more in (("sweep", "--sparsities", "0.5", "--no-store"), ("sensitivity", "--sparsities", "0.5")):
        with case(more):
            found = json.loads(run(more[0], f"{own}:net", "--data", pictures, *more[1:], "--json"))
            assert "no better than chance" in found["chance"] and found["guesses"]


def test_what_pruning_destroyed_is_chance_without_a_question(run) -> None:
    found = json.loads(run("prune", "digits_mlp", "--limit", 100, "--sparsity", 0.999, "--json"))
    assert "pruned model is no better than chance" in found["chance"] and "preprocessing" not in found["chance"]


def test_more_classes_in_the_data_than_outputs_is_one_sentence(refused, own: str) -> None:
    assert "the model has 2 classes" in refused("prune", f"{own}:few", "--data", f"{own}:many", "--sparsity", 0.5)


def test_the_contract_is_in_the_help_of_every_command_that_takes_a_file_and_in_errors(refused, own: str, capsys) -> None:
    for name in ("app", "inspect", "prune", "sweep", "sensitivity", "latency"):
        with case(name):
            with pytest.raises(SystemExit):
                main([name, "--help"])
            assert contract.text() in capsys.readouterr().out
    said = refused("prune", f"{own}:TensorDataset", "--sparsity", 0.5)
    assert contract.MODEL in said and "net.input_shape = (3, 64, 64)" in said
    said = refused("prune", "digits_mlp", "--data", f"{own}:net", "--sparsity", 0.5)
    assert contract.DATA in said and "data(): return" in said
