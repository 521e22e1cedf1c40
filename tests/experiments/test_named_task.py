"""A task that somebody named: part of what a run is, kept in a recipe, a folder and a run, and no change to ids that were given before."""

from __future__ import annotations

import json

import pytest

from prunekit.cli import main
from prunekit.config.ids import ModelId
from prunekit.errors import TaskError
from prunekit.experiments.home import store
from prunekit.experiments.identity import weights_of
from prunekit.experiments.new_run import placed
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.tasks import resolve
from tests.experiments.test_stored_metric import OWN


def test_a_task_is_part_of_what_a_model_is_where_it_is_not_that_of_images(tmp_path):
    file = tmp_path / "demand.py"
    file.write_text(OWN)
    names = [None, "image-classification", "regression", f"{file}:task"]
    models = [load_model(ModelId("digits_mlp", task=name)) for name in names]
    assert [resolve(model).name for model in models] == ["image-classification", *names[1:]]
    found = [weights_of(model) for model in models]
    assert found[0] == found[1] == state_hash(models[0]) and len(set(found)) == 3
    file.write_text(OWN.replace("abs(", "2 * abs("))
    assert weights_of(load_model(ModelId("digits_mlp", task=f"{file}:task"))) not in found


def test_a_name_that_says_no_task_is_written_as_it_always_was(tmp_path, monkeypatch):
    plain = {"name": "digits_mlp", "weights": None, "pretrained": False}
    assert ModelId("digits_mlp").to_dict() == plain and ModelId.from_dict(plain).task is None
    asked = ModelId("digits_mlp", task="demand.py:task")
    assert ModelId.from_dict(asked.to_dict()) == asked
    monkeypatch.chdir(tmp_path)
    assert placed(asked)["task"] == f"{tmp_path}/demand.py:task"


def test_the_flag_is_kept_in_folder_and_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    out = tmp_path / "out"
    command = ["prune", "digits_mlp", "--task", "regression", "--sparsity", "0.5", "--data", "none", "--save", "--out", str(out), "--json"]
    assert main(command) == 0
    run = json.loads(capsys.readouterr().out)["run"]
    assert store().find(run).model["task"] == "regression"
    assert resolve(load_model(str(out))).name == "regression" and info(load_model(str(out))).id.task == "regression"
    with pytest.raises(TaskError, match=r"you ask for 'table-regression' and the folder .* is of 'regression'"):
        load_model(ModelId(str(out), task="table-regression"))
