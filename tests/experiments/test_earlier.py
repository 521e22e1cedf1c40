"""A home that version 0.4.0 wrote: its rows are read, what cannot be vouched for is marked, and measured again when asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from prunekit.cli import main
from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.lineage import lineage
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import RunGone
from prunekit.evaluation.accuracy import evaluate
from prunekit.experiments.backfill import fill
from prunekit.experiments.identity import data_hash, weights_of
from prunekit.experiments.load_run import open_run
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.run_list import listed
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import known_points, measure_one, sweep_through
from prunekit.models.load import load_model
from prunekit.models.state import state_hash

HERE = Path(__file__).parent / "homes"
WAS = "/home/someone/project/nets.py"
DIGITS = SweepRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(), split="test", sparsities=(0.0, 0.5, 0.9))


@pytest.fixture
def project(tmp_path) -> Path:
    """The user's file, as it was."""
    return Path(shutil.copy(HERE / "nets.py", tmp_path / "nets.py"))


@pytest.fixture
def home(tmp_path, project, monkeypatch):
    """The home, its user's file where the test has it."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    shutil.copy(HERE / "version_0_4_0.sqlite", tmp_path / "runs.sqlite")
    store = RunStore(tmp_path / "runs.sqlite")
    with store.database.write() as connection:
        connection.execute("UPDATE runs SET model = replace(model, ?, ?)", (WAS, str(project)))
        connection.execute("UPDATE measurements SET data = replace(data, 'nets.py:data', ?)", (f"{project}:data",))
        connection.execute("UPDATE runs SET info = replace(info, 'nets.py:data', ?)", (f"{project}:data",))
    yield store
    store.close()


def own(store: RunStore) -> dict[str, str]:
    """Return the runs of the user's model by what was done."""
    told = {"dense": "dense", "structured": "channels", "unstructured": "weights"}
    return {told["dense" if run.spec is None else run.spec["mode"]]: run.id for run in store.runs() if "nets.py" in str(run.model["name"])}


def test_what_can_be_vouched_for_is_as_good_as_new_and_the_rest_is_marked(home):
    found = listed(home, every=True)
    assert len(found) == 8 and {each.run.model["name"] for each in found if not each.earlier} == {"digits_mlp"}
    assert {each.run.id for each in found if each.earlier} == set(own(home).values())


def test_the_samples_rows_are_those_of_today_and_hold_today(home):
    model = load_model("digits_mlp")
    data = load_data("digits", model=model)
    hashed, weights = data_hash(data.test), weights_of(model, (1, 8, 8))
    page = known_points(DIGITS, home, weights, hashed)
    assert [row.requested for row in page] == [0.0, 0.5, 0.9]
    for run in home.runs(weights=weights):
        opened = open_run(run.id, home, data=data)
        assert opened.note == "" and state_hash(opened.model) == run.info["state"]
        (seen,) = home.measurements(run.id)
        assert seen.data_hash == hashed and np.array_equal(seen.evaluation.correct, evaluate(opened.model, data.test).correct)


def test_rows_of_ones_own_model_are_read_and_marked_wherever_they_are_shown(home, capsys):
    ids = own(home)
    found = compare_runs([ids["channels"], ids["weights"]], home)
    assert [column.earlier for column in found.all] == [True] * 3 and found.baseline.accuracy.value == 0.425
    assert "Dense, A and B were measured by an earlier version" in found.caution
    assert found.best == "" and "cannot be compared directly, so none is recommended" in found.answer
    assert set(found.missing) == set(ids.values()), "they are measured again when somebody asks"
    assert [node.title for node in lineage(home.runs(), home.runs())[0].walk()]
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    assert "41.5 % *" in table and "94.4 % *" not in table and "* measured by an earlier version" in table
    assert main(["runs", "--json"]) == 0
    told = {run["id"]: run["earlier"] for run in json.loads(capsys.readouterr().out)["runs"]}
    assert {name for name, earlier in told.items() if earlier} == set(ids.values())
    assert main(["compare", "--stored", ids["channels"], ids["weights"]]) == 0
    assert "measured by an earlier version" in capsys.readouterr().out


def test_asked_again_ones_own_model_is_measured_again(home, project):
    model_id, data_id = ModelId(f"{project}:net"), DataId(f"{project}:data")
    sweep = SweepRequest(model_id, data_id, PruneSpec(), split="test", sparsities=(0.0, 0.5))
    model = load_model(model_id)
    data = load_data(data_id, model=model)
    old, before = set(own(home).values()), {row.id for rows in home.all_measurements().values() for row in rows}
    assert not known_points(sweep, home, weights_of(model, (6,)), data_hash(data.test))
    points = sweep_through(sweep, home)
    assert [point.accuracy.value for point in points] == [0.425, 0.42], "nothing was edited: the same comes out"
    new = [row for rows in home.all_measurements().values() for row in rows if row.id not in before]
    assert len(new) == 2 and not any(row.earlier for row in new)
    assert not old & {row.run for row in new}
    again = measure_one(AccuracyRequest(model_id, data_id, None, split="test"), home)
    assert again.run == points[0].run and len(known_points(sweep, home, weights_of(model, (6,)), data_hash(data.test))) == 2


def test_a_run_of_ones_own_opens_with_a_word_while_its_file_is_what_it_was(home, project):
    ids = own(home)
    opened = open_run(ids["channels"], home)
    assert "earlier version" in opened.note and state_hash(opened.model) == opened.run.info["state"]
    fill(list(ids.values()), DataId(f"{project}:data"), "test", home)
    found = compare_runs([ids["channels"], ids["weights"]], home)
    assert not any(column.earlier for column in found.all) and not found.missing and not found.caution
    project.write_text(project.read_text().replace("nn.ReLU()", "nn.Tanh()"))
    for name in ids.values():
        with pytest.raises(RunGone, match="other code or options now"):
            open_run(name, home)


def test_a_migrated_home_is_migrated_once(home, tmp_path):
    home.close()
    again = RunStore(tmp_path / "runs.sqlite")
    assert sum(run.earlier for run in again.runs()) == 3
    again.close()
