"""The real packages, without a network: what was told is read back from what they wrote."""

from __future__ import annotations

import importlib
import json
import struct
from pathlib import Path

import pytest

from prunekit.cli import main

WORDS = ("prune", "digits_mlp", "--sparsity=0.9", "--epochs=2", "--train-images=100", "--limit=100", "--name=small", "--json")

pytestmark = pytest.mark.slow


@pytest.fixture
def pruned(tmp_path, monkeypatch, capsys):
    """Prune and fine-tune with a tracker; return what the command says."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def carry_out(where: str) -> dict:
        assert main([*WORDS, "--out", str(tmp_path / "out"), "--log-to", where]) == 0
        return json.loads(capsys.readouterr().out)

    return carry_out


def losses(found: dict) -> list[tuple[int, float]]:
    return [(epoch["number"], epoch["loss"]) for epoch in found["recovery"]["history"]]


def test_mlflow_in_a_folder(pruned, tmp_path):
    client = pytest.importorskip("mlflow.tracking").MlflowClient
    found = pruned(f"mlflow:{tmp_path / 'kept'}")
    store = client(tracking_uri=f"sqlite:///{tmp_path / 'kept' / 'mlflow.db'}")
    (run,) = store.search_runs([store.get_experiment_by_name("prunekit").experiment_id])
    assert run.info.run_name == "small" and run.info.status == "FINISHED"
    assert run.data.params["spec/sparsity"] == "0.9" and run.data.params["model/name"] == "digits_mlp"
    assert [(m.step, m.value) for m in store.get_metric_history(run.info.run_id, "loss")] == losses(found)
    assert run.data.metrics["pruned/accuracy"] == found["after"]["accuracy"]["value"]
    assert {each.path for each in store.list_artifacts(run.info.run_id)} == {path.name for path in (tmp_path / "out").iterdir()}


def test_wandb_offline(pruned, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    found = pruned("wandb:trials")
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    records, told = read_records(file), {}
    assert records.pop("run").project == "trials"
    for item in records["history"]:
        told.setdefault("loss", []).extend(json.loads(value) for key, value in item.items() if key == "loss")
    assert told["loss"] == pytest.approx([loss for _, loss in losses(found)])
    assert (file.parent / "files" / "recipe.yaml").is_file()


def read_records(file: Path) -> dict:
    """Return the run and its history from a file of W&B: LevelDB's log format behind a header of seven bytes."""
    record = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    data, place, whole, found = file.read_bytes(), 7, b"", {"history": []}
    while place + 7 <= len(data):
        if 2**15 - place % 2**15 < 7:  # the rest of a block holds no header
            place += 2**15 - place % 2**15
        length, kind = struct.unpack("<4xHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # one piece, or the last of several
            each, whole = record.FromString(whole), b""
            if each.WhichOneof("record_type") == "run":
                found["run"] = each.run
            elif each.WhichOneof("record_type") == "history":
                found["history"].append({item.key or ".".join(item.nested_key): item.value_json for item in each.history.item})
    return found


def test_tensorboard_in_a_folder(pruned, tmp_path):
    pytest.importorskip("tensorboard")
    found = pruned(f"tensorboard:{tmp_path / 'events'}")
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(step, pytest.approx(loss)) for step, loss in losses(found)]
    assert events.Scalars("pruned/accuracy")[0].value == pytest.approx(found["after"]["accuracy"]["value"])
    assert "settings/text_summary" in events.Tags()["tensors"] and (tmp_path / "events" / "recipe.yaml").is_file()
