"""``prunekit runs`` and ``prunekit prune --save``."""

from __future__ import annotations

import json
import re

import pytest

from prunekit.cli import main
from prunekit.cli.tables import short
from prunekit.experiments.load_run import open_run
from prunekit.experiments.store import RunStore


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(home, capsys):
    def call(*words, code=0):
        assert main([str(word) for word in words]) == code
        told = capsys.readouterr()
        return told.out if code == 0 else told.err

    return call


def test_what_prune_saves_is_listed_found_and_opened(run, home):
    assert "keeps one" in run("runs")
    made = json.loads(run("prune", "digits_mlp", "--sparsity", 0.8, "--save", "--json"))
    listed = json.loads(run("runs", "--json"))
    (pruned,), (dense,) = ([r for r in listed["runs"] if r["kind"] == kind] for kind in ("pruned", "dense"))
    assert pruned["id"] == made["run"] and pruned["saved"] and pruned["parent"] == dense["id"] and not dense["saved"]
    for side, each in (("before", dense), ("after", pruned)):
        told = {name: each["accuracy"][name] for name in ("value", "low", "high", "n")}
        assert told == made[side]["accuracy"] and each["accuracy"]["split"] == "test"
        assert each["sizes"] == made[side]["sizes"] and each["nonzero"] == made[side]["nonzero"]
    text = run("prune", "digits_mlp", "--sparsity", 0.8, "--save")
    assert f"saved as run {made['run'][:12]}" in text and len(json.loads(run("runs", "--json", "--all"))["runs"]) == 2
    assert made["run"][:12] in run("runs", "--kind", "pruned") and dense["id"][:12] not in run("runs", "--kind", "pruned")
    store = RunStore(home / "runs.sqlite")
    assert open_run(made["run"][:8], store).note == ""
    store.close()


def test_the_column_of_what_is_not_zero_says_so(run):
    name = json.loads(run("prune", "digits_mlp", "--sparsity", 0.8, "--data", "none", "--save", "--json"))["run"]
    (each,) = json.loads(run("runs", "--kind", "pruned", "--json"))["runs"]
    header, rule, row = run("runs", "--kind", "pruned").splitlines()
    columns = [match.span() for match in re.finditer("-+", rule)]
    told = {header[start:end].strip(): row[start:end].strip() for start, end in columns}
    assert told["run"] == name[:12] and told["non-zero"] == short(each["nonzero"]) != short(each["params"])
    assert "parameters" not in told


def test_prune_saves_a_recovery_with_its_weights_and_one_without_data(run, home):
    first = json.loads(run("prune", "digits_cnn", "--mode", "structured", "--sparsity", 0.5, "--epochs", 1, "--save", "--json"))["run"]
    second = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, "--data", "none", "--save", "--json"))["run"]
    store = RunStore(home / "runs.sqlite")
    assert open_run(first, store).file == home / "models" / first and len(store.measurements(first)) == 1
    assert open_run(second, store).model is not None and store.measurements(second) == []
    store.close()


def test_points_of_a_sweep_are_seen_with_all(run):
    run("sweep", "digits_mlp", "--sparsities", "0.5,0.9", "--images", 32)
    listed = json.loads(run("runs", "--json"))
    assert [each["kind"] for each in listed["runs"]] == ["dense"] and listed["left_out"] == 2
    assert "2 points of curves left out" in run("runs")
    assert len(json.loads(run("runs", "--all", "--json"))["runs"]) == 3


def test_tags_and_notes_are_put_and_taken_off(run):
    name = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, "--save", "--json"))["run"]
    assert json.loads(run("runs", "tag", name[:8], "good", "small one", "--json"))["tags"] == ["good", "small one"]
    assert "tags: small one" in run("runs", "tag", name[:8], "good", "--remove")
    assert "note: for the talk" in run("runs", "note", name[:8], "for the talk")
    (each,) = json.loads(run("runs", "--tag", "small one", "--json"))["runs"]
    assert (each["id"], each["note"], each["saved"]) == (name, "for the talk", True)
    assert json.loads(run("runs", "--tag", "good", "--json"))["runs"] == []
    assert json.loads(run("runs", "note", name, "", "--json"))["note"] == ""


def test_a_run_is_deleted_when_that_is_meant(run):
    name = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, "--save", "--json"))["run"]
    dense = json.loads(run("runs", "--kind", "dense", "--json"))["runs"][0]["id"]
    assert "say --yes" in run("runs", "delete", name[:8], code=2)
    assert f"{name[:12]}" in run("runs", "delete", dense, "--yes", code=2)
    assert json.loads(run("runs", "delete", name[:8], "--yes", "--json")) == {"deleted": name}
    assert f"deleted {dense[:12]}" in run("runs", "delete", dense[:8], "--yes")
    assert "there is no run" in run("runs", "delete", name, "--yes", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "tag", "abcdef12"], "WORD"),
        (["runs", "note", "nothing!", "x"], "is no run"),
        (["runs", "note", "abcdef12", "x"], "there is no run"),
        (["runs", "--kind", "odd"], "invalid choice"),
        (["runs", "rename", "abcdef12"], "rename"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, words, said):
    told = run(*words, code=2)
    assert said in told and len(told.splitlines()) == 1


@pytest.mark.slow
def test_latency_keeps_what_it_timed(run):
    found = json.loads(run("latency", "digits_mlp", "--budget", 0.3, "--sparsity", 0.75, "--json"))
    listed = {each["id"]: each for each in json.loads(run("runs", "--json"))["runs"]}
    assert set(found["runs"].values()) == set(listed) and len(listed) == 3
    assert all(each["timed"] == 1 and each["accuracy"] is None for each in listed.values())


def test_a_run_is_named_when_it_is_saved_found_by_its_name_and_renamed(run, home):
    text = run("prune", "digits_mlp", "--sparsity", 0.7, "--name", "  the  first ")
    assert text.splitlines()[-1].endswith("called the first")
    name = json.loads(run("prune", "digits_mlp", "--sparsity", 0.8, "--name", "second", "--json"))["run"]
    assert "the first" in run("runs") and {each["name"] for each in json.loads(run("runs", "--json"))["runs"]} == {
        "",
        "the first",
        "second",
    }
    found = json.loads(run("compare", "the first", "second", "--stored", "--json"))
    assert [column["name"] for column in found["columns"]] == ["the first", "second"] and found["columns"][1]["run"] == name
    assert "name: smaller" in run("runs", "name", "second", "smaller")
    (again,) = [each for each in json.loads(run("runs", "--json"))["runs"] if each["name"] == "smaller"]
    assert again["id"] == name and again["saved"]


def test_too_long_a_name_is_refused_before_any_work(home, capsys):
    assert main(["prune", "no_such_model", "--sparsity", "0.5", "--name", "x" * 61]) == 2
    assert "at most 60 characters" in capsys.readouterr().err
