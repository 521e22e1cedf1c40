"""Forgetting a run takes its row and its files, both or neither."""

import pytest

from prunekit.errors import StoreError
from prunekit.experiments import run_list
from prunekit.experiments.home import checkpoints, weights_folder
from prunekit.experiments.records import Run
from prunekit.experiments.run_list import forget
from prunekit.experiments.store import RunStore

DENSE = Run("a" * 64, "dense", "a model", {"name": "m"}, "w")
CUT = Run("b" * 64, "recovered", "half of it", {"name": "m"}, "w", {"sparsity": 0.5}, {"epochs": 1}, "t", DENSE.id, info={"file": "b" * 64})
TRAINED = Run("c" * 64, "trained", "from scratch", {"name": "m"}, "v", info={"file": "1234.safetensors"})


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    store = RunStore(tmp_path / "runs.sqlite")
    for run in (DENSE, CUT, TRAINED):
        store.put_run(run)
    folder = weights_folder(CUT.id)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    checkpoints().mkdir()
    (checkpoints() / "1234.safetensors").write_bytes(b"trained")
    (checkpoints() / "other.safetensors").write_bytes(b"other")
    yield store
    store.close()


def left(store):
    """Return runs and files that are there, the store's own left out."""
    files = {p.name for p in store.path.parent.rglob("*") if p.is_file() and not p.name.startswith("runs.sqlite")}
    hidden = [p for p in store.path.parent.rglob(".*")]
    assert hidden == [], "nothing lies aside"
    return {run.id[0] for run in store.runs()}, files


def test_row_and_files_go_together(kept):
    assert forget(kept, CUT.id[:8]) == CUT
    assert left(kept) == ({"a", "c"}, {"1234.safetensors", "other.safetensors"})
    assert not weights_folder(CUT.id).exists()
    forget(kept, TRAINED.id)
    assert left(kept) == ({"a"}, {"other.safetensors"})
    forget(kept, DENSE.id)
    assert left(kept)[0] == set()
    with pytest.raises(StoreError, match="there is no run"):
        forget(kept, CUT.id)


def test_a_run_that_others_were_made_from_stays_and_they_are_named(kept):
    before = left(kept)
    with pytest.raises(StoreError, match=r"run aaaaaaaaaaaa \(a model\) stays: bbbbbbbbbbbb \(half of it\) was made from it"):
        forget(kept, DENSE.id)
    assert left(kept) == before


def test_a_store_that_fails_gives_the_files_back(kept, monkeypatch):
    before = left(kept)

    def full(_):
        assert not weights_folder(CUT.id).exists(), "moved aside first"
        raise StoreError("the disk is full")

    monkeypatch.setattr(kept, "forget", full)
    with pytest.raises(StoreError, match="disk is full"):
        forget(kept, CUT.id)
    assert left(kept) == before and (weights_folder(CUT.id) / "model.safetensors").read_bytes() == b"weights"


def test_a_run_made_from_it_in_the_same_moment_stops_it_and_nothing_is_lost(kept, monkeypatch):
    child = Run("d" * 64, "quantised", "int8", {"name": "m"}, "w", parent=CUT.id)
    real = run_list.files_of

    def meanwhile(run):
        kept.put_run(child)
        return real(run)

    monkeypatch.setattr(run_list, "files_of", meanwhile)
    with pytest.raises(StoreError):
        forget(kept, CUT.id)
    assert left(kept)[0] == {"a", "b", "c", "d"} and weights_folder(CUT.id).is_dir()


def test_files_that_are_gone_already_are_no_obstacle(kept):
    (weights_folder(CUT.id) / "model.safetensors").unlink()
    weights_folder(CUT.id).rmdir()
    forget(kept, CUT.id)
    assert left(kept)[0] == {"a", "c"}


def test_an_imported_run_takes_its_folder_along(kept):
    run = Run("f" * 64, "imported", "from elsewhere", {"name": "m"}, "u")
    kept.put_run(run)
    weights_folder(run.id).mkdir()
    forget(kept, run.id)
    assert not weights_folder(run.id).exists()


@pytest.mark.parametrize("name", ["../runs.sqlite", "..", ".", ""])
def test_a_name_that_leads_elsewhere_is_not_followed(kept, name):
    bad = Run("e" * 64, "trained", "odd", {"name": "m"}, "u", info={"file": name})
    kept.put_run(bad)
    forget(kept, bad.id)
    assert kept.path.is_file() and left(kept)[0] == {"a", "b", "c"}
