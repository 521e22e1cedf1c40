"""The store keeps what it was given, refuses what it must, and says in plain words when it cannot."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit import experiments
from prunekit.errors import StoreError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import accuracy_of
from prunekit.experiments.database import MIGRATIONS
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.store import RunStore
from tests.experiments.forker import Forker

DENSE = Run("d", "dense", "a model", {"name": "m"}, "w", info={"params": 7})
PRUNED = Run("p", "pruned", "half of it", {"name": "m"}, "w", {"sparsity": 0.5}, None, "t", "d", info={"achieved": 0.25, "history": [1]})


def seen(run: str, correct: list[bool], split: str = "test") -> Measurement:
    return Measurement.of(run, accuracy_of(np.array(correct)), {"name": "digits"}, "h", split)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path / "runs.sqlite")
    yield made
    made.close()


def pragma(store: RunStore, name: str) -> object:
    return store.database.read(f"PRAGMA {name}")[0][0]


def test_it_is_a_write_ahead_log_with_a_version_and_foreign_keys(store: RunStore) -> None:
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "user_version") == len(MIGRATIONS)
    assert pragma(store, "foreign_keys") == 1


def test_what_is_put_comes_back_as_it_was(store: RunStore, tmp_path: Path) -> None:
    measured = seen("p", [True, False, True])
    store.put_run(DENSE)
    store.put_run(PRUNED)
    store.put_measurement(measured)
    other = RunStore(tmp_path / "runs.sqlite")
    for opened in (store, other):
        assert opened.get_run("d") == DENSE and opened.get_run("p") == PRUNED
        assert opened.measurement(measured.id) == measured and opened.measurements("p") == [measured]
        assert opened.quality("p", "h", "test", 3) == measured.evaluation
        assert {run.id for run in opened.runs()} == {"d", "p"}
        assert [run.id for run in opened.runs(kind="pruned", weights="w", parent="d")] == ["p"]
    assert store.get_run("x") is store.quality("p", "h", "validation", 3) is store.quality("p", "h", "test", 4) is None
    other.close()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=70))
def test_a_paired_comparison_from_the_store_is_the_one_from_memory(pairs: list[tuple[bool, bool]]) -> None:
    one, two = (accuracy_of(np.array(side)) for side in zip(*pairs, strict=True))
    kept = [Measurement.of("r", a, {}, "h", "test").evaluation for a in (one, two)]
    assert kept == [one, two]
    assert all((a.correct == b.correct).all() for a, b in zip(kept, (one, two), strict=True))
    assert compare(*kept) == compare(one, two)


def test_a_run_put_again_gains_what_was_not_known_and_loses_nothing(store: RunStore) -> None:
    store.put_run(DENSE)
    store.put_run(replace(DENSE, title="other", info={"file": "w.safetensors"}, created="never"))
    assert store.get_run("d") == replace(DENSE, info={"params": 7, "file": "w.safetensors"})


def test_what_does_not_fit_together_is_refused_and_nothing_of_it_kept(store: RunStore) -> None:
    with pytest.raises(StoreError, match="store the run before"):
        store.put_measurement(seen("nobody", [True]))
    with pytest.raises(StoreError, match="store the run before"):
        store.put_point([DENSE], seen("d", [True]), ("no such sweep", 0, 0.0))
    assert store.runs() == [] and store.measurements("d") == []
    store.put_run(DENSE)
    store.put_point([PRUNED], seen("p", [True]))
    with pytest.raises(StoreError):
        store.forget("d")
    store.forget("p")
    assert store.measurements("p") == []


def test_points_of_a_sweep_go_with_the_model_that_they_belong_to(store: RunStore) -> None:
    store.put_sweep("s", {"a": 1}, "w")
    store.put_point([DENSE], seen("d", [True]), ("s", 0, 0.0))
    store.put_point([PRUNED], seen("p", [False]), ("s", 1, 0.5))
    store.put_sweep("s", {"a": 1}, "w")
    assert [(p.position, p.requested, p.run.id) for p in store.points("s")] == [(0, 0.0, "d"), (1, 0.5, "p")]
    store.trim("s", 1)
    assert [point.run.id for point in store.points("s")] == ["d"]
    store.put_sweep("s", {"a": 1}, "other weights")
    assert store.points("s") == [] and store.sweeps() == {"s": {"a": 1}}
    assert store.get_run("p") is not None


# --- versions ---

SECOND = ("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT 'none'", "CREATE TABLE more (id INTEGER PRIMARY KEY)")


def test_an_older_file_becomes_one_of_today(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    old = RunStore(path)
    old.put_run(DENSE)
    old.close()
    new = RunStore(path, [*MIGRATIONS, SECOND])
    assert pragma(new, "user_version") == len(MIGRATIONS) + 1
    assert [tuple(row) for row in new.database.read("SELECT id, note FROM runs")] == [("d", "none")]
    new.close()
    again = RunStore(path, [*MIGRATIONS, SECOND])
    assert again.database.read("SELECT * FROM more") == []
    again.close()


def test_a_migration_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    RunStore(path).close()
    with pytest.raises(StoreError):
        RunStore(path, [*MIGRATIONS, (SECOND[1], "CREATE NONSENSE")])
    old = RunStore(path)
    assert old.database.read("SELECT name FROM sqlite_master WHERE name = 'more'") == []
    old.close()


def test_a_file_of_a_newer_version_is_refused_and_left_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    new = RunStore(path, [*MIGRATIONS, SECOND])
    # its process died: the log still holds what was not yet brought into the file
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("runs.sqlite*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy)
    new.close()
    assert (copy / "runs.sqlite-wal").stat().st_size
    for folder in (tmp_path, copy):
        before = {file.name: file.read_bytes() for file in folder.glob("runs.sqlite*") if not file.name.endswith("-shm")}
        with pytest.raises(StoreError, match=r"newer prunekit.*update prunekit"):
            RunStore(folder / "runs.sqlite")
        assert {name: (folder / name).read_bytes() for name in before} == before


# --- faults ---


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights: root may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder with a store that can be read and not written."""
    folder = Path(tempfile.mkdtemp(prefix="prunekit-test-"))
    made = RunStore(folder / "runs.sqlite")
    made.put_run(DENSE)
    made.put_measurement(seen("d", [True, False]))
    made.close()
    (folder / "runs.sqlite").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_store_that_cannot_be_written_can_be_read(locked: Path) -> None:
    with nobody():
        store = RunStore(locked / "runs.sqlite")
        assert store.read_only and store.get_run("d") == DENSE and store.quality("d", "h", "test", 2) is not None
        with pytest.raises(StoreError, match="cannot be written, only read: set PRUNEKIT_HOME"):
            store.put_run(PRUNED)
        store.close()
        with pytest.raises(StoreError, match="older prunekit and cannot be written"):
            RunStore(locked / "runs.sqlite", [*MIGRATIONS, SECOND])
        with pytest.raises(StoreError, match="set PRUNEKIT_HOME"):
            RunStore(locked / "new.sqlite")
        with pytest.raises(StoreError, match="cannot be made"):
            RunStore(locked / "below" / "runs.sqlite")


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        RunStore(tmp_path / "file" / "runs.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StoreError, match="could not be opened"):
        RunStore(tmp_path / "folder.sqlite")


def test_a_full_disk_costs_the_row_and_nothing_else(store: RunStore) -> None:
    store.put_run(DENSE)
    pages = pragma(store, "page_count")
    store.database.read(f"PRAGMA max_page_count = {pages}")
    big = replace(PRUNED, info={"text": "x" * 100_000})
    with pytest.raises(StoreError, match="the disk is full"):
        store.put_run(big)
    assert store.get_run("d") == DENSE and store.get_run("p") is None
    store.database.read("PRAGMA max_page_count = 100000")
    store.put_run(big)
    assert store.get_run("p") == big


def test_a_damaged_file_is_said_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"this is no database, and it is long enough to tell" * 50)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"damaged.*move it away"):
        RunStore(path)
    assert path.read_bytes() == before
    path.unlink()
    made = RunStore(path)
    for i in range(300):
        made.put_run(replace(DENSE, id=f"r{i}"))
    made.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        RunStore(path).runs()


def test_a_store_held_by_another_for_too_long_is_said(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.sqlite", busy_s=0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has held it"):
        store.put_run(DENSE)
    assert store.runs() == []  # who reads does not wait
    other.execute("COMMIT")
    store.put_run(DENSE)
    other.close()
    store.close()


# --- company ---


def test_threads_share_one_store(store: RunStore) -> None:
    store.put_run(DENSE)
    failed: list[BaseException] = []

    def work(mark: int) -> None:
        try:
            for i in range(25):
                name = f"{mark}-{i}"
                store.put_point([replace(PRUNED, id=name)], seen(name, [True, False]))
                assert store.quality(name, "h", "test", 2) is not None
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(store.runs(kind="pruned")) == 150


def write(path: str, mark: str) -> None:
    """Be one of two processes that fill a store."""
    store = RunStore(path)
    for i in range(40):
        name = f"{mark}-{i}"
        store.put_point([DENSE, replace(PRUNED, id=name)], seen(name, [True]))
    store.close()


def test_two_processes_make_and_fill_one_store_at_once(tmp_path: Path, forker: Forker) -> None:
    path = tmp_path / "runs.sqlite"
    forker.at_once("tests.experiments.test_store:write", [(str(path), "a"), (str(path), "b")])
    store = RunStore(path)
    assert {run.id for run in store.runs(kind="pruned")} == {f"{mark}-{i}" for mark in "ab" for i in range(40)}
    assert pragma(store, "integrity_check") == "ok"
    store.close()


def test_the_store_of_the_process_lies_at_home(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "here"))
    assert experiments.home() == tmp_path / "here"
    assert experiments.store() is experiments.store() and experiments.store().path.parent == tmp_path / "here"
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "there"))
    assert experiments.store().path.parent == tmp_path / "there"
    monkeypatch.delenv("PRUNEKIT_HOME")
    assert experiments.home().is_absolute() and "prunekit" in str(experiments.home())
