"""What a dead process left behind is taken up; what a living one does is shown and left to it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.experiments.job_rows import STALE_S
from prunekit.experiments.jobs.board import Board, key_of
from prunekit.experiments.jobs.job import KINDS, Job
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from tests.experiments.jobs.another import Server, context
from tests.experiments.jobs.test_board import Gate, ask, until

BEAT = 0.05


class Left:
    """Never begins: its server dies first."""

    def submit(self, fn: object, /, *args: object) -> Future[Any]:
        return Future()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def gate(monkeypatch) -> Gate:
    made = Gate()
    monkeypatch.setitem(KINDS, "gate", made)
    return made


def rewrite(store: RunStore, **change: object) -> None:
    """Change the owner of all rows: another host, another beginning."""
    for row in store.jobs.active():
        told = json.dumps({**json.loads(row.owner), **change}, sort_keys=True)
        store.database.read("UPDATE jobs SET owner = ? WHERE key = ? RETURNING key", (told, row.key))


def left_behind(store: RunStore, *names: str) -> None:
    """Enter work of a process whose id has gone to another one since."""
    board = Board(store, Left(), beat_s=3600)
    for name in names:
        ask(board, name)
    rewrite(store, began="long ago")


def test_work_of_the_dead_is_taken_up_in_its_old_order_and_wanted_by_nobody(store: RunStore, gate: Gate) -> None:
    left_behind(store, "b", "a", "c")
    board = Board(store, beat_s=BEAT)
    board.resume()
    until(gate.running.is_set)
    jobs = board.all()
    assert [(job.title, job.state, job.wanted_by) for job in jobs] == [
        ("job b", "running", set()), ("job a", "waiting", set()), ("job c", "waiting", set()),
    ]  # fmt: skip
    board.stop(jobs[1].key, "anybody")
    assert jobs[1].state == "cancelled"
    assert ask(board, "c", "you") is jobs[2]
    board.stop(jobs[2].key, "another")  # who never wanted it cannot stop it
    gate.go.set()
    until(lambda: jobs[2].state == "done")
    assert gate.done == ["b", "c"] and store.jobs.active() == []
    board.close()


def test_a_board_that_ends_leaves_its_work_for_the_next(store: RunStore, gate: Gate) -> None:
    first = Board(store, beat_s=BEAT)
    jobs = [ask(first, name) for name in "ab"]
    until(gate.running.is_set)
    first.close()
    assert not any(job.active for job in jobs) and gate.done == []
    assert [row.owner for row in store.jobs.active()] == ["", ""]
    gate.go.set()
    second = Board(store, beat_s=BEAT)
    second.resume()
    until(lambda: gate.done == ["a", "b"])
    second.close()
    assert store.jobs.active() == []


def test_work_of_another_machine_is_taken_up_when_its_heart_stops(store: RunStore, gate: Gate) -> None:
    gate.go.set()
    other = Board(store, Left(), beat_s=3600)
    ask(other, "a")
    rewrite(store, host="another")
    board = Board(store, beat_s=BEAT)
    board.resume()
    assert [(job.elsewhere, job.state) for job in board.all()] == [(True, "waiting")]
    time.sleep(3 * BEAT)
    assert gate.done == []
    store.database.read("UPDATE jobs SET heartbeat = heartbeat - ? RETURNING key", (STALE_S + 1,))
    until(lambda: gate.done == ["a"])
    board.close()


def test_two_boards_that_look_at_once_do_not_both_take_it(store: RunStore, gate: Gate) -> None:
    left_behind(store, "a")
    row = store.jobs.active()[0]
    assert store.jobs.take(replace(row, owner="one"), row)
    assert not store.jobs.take(replace(row, owner="two"), row)
    assert not store.jobs.take(replace(row, owner="two"), None)
    assert [found.owner for found in store.jobs.active()] == ["one"]
    store.jobs.note(replace(row, owner="two", state="failed"))
    assert store.jobs.active()[0].state == "waiting"


def test_a_kind_that_is_not_known_here_stays_for_who_knows_it(store: RunStore, gate: Gate, monkeypatch) -> None:
    left_behind(store, "a")
    monkeypatch.delitem(KINDS, "gate")
    board = Board(store, beat_s=BEAT)
    board.resume()
    time.sleep(3 * BEAT)
    assert board.all() == [] and len(store.jobs.active()) == 1
    board.close()


def test_a_request_that_no_longer_loads_fails_in_plain_words(store: RunStore, tmp_path: Path) -> None:
    board = Board(store, Left(), beat_s=3600)
    gone = AccuracyRequest(ModelId(f"{tmp_path}/gone.py:make"), DataId("digits"), None).to_dict()
    older = {"model": {"name": "digits_mlp"}, "colour": "red"}
    for request in (gone, older):
        board.submit("accuracy", request, "left", "me")
    rewrite(store, began="long ago")
    after = Board(store, beat_s=BEAT)
    after.resume()
    until(lambda: all(job.state == "failed" for job in after.all()))
    errors = [job.error for job in after.all()]
    assert "gone.py" in errors[0] and "unknown keys: colour" in errors[1]
    row = store.jobs.get(key_of("accuracy", gone))
    assert row is not None and (row.state, row.error) == ("failed", errors[0])
    after.close()


# --- two servers on one store ---


@pytest.fixture
def server(store: RunStore) -> Iterator[Server]:
    """Another process with a board on the same store."""
    made = Server(context(), store.path)
    yield made
    made.kill()


def test_two_servers_share_a_store(store: RunStore, server: Server, gate: Gate) -> None:
    gate.go.set()
    board = Board(store, beat_s=BEAT)
    board.resume()
    shown = board.all()
    assert [(job.title, job.elsewhere, job.state) for job in shown] == [("job a", True, "running")]
    mine = ask(board, "a")
    assert mine is shown[0] and mine.elsewhere
    assert server.tell("0.75") == "further"
    until(lambda: mine.fraction == 0.75 and mine.text == "further")
    assert mine.elsewhere and mine.active and not board.ahead(mine.key)
    assert gate.done == []  # nothing is done twice
    board.stop(mine.key, "me")
    time.sleep(3 * BEAT)
    assert mine.active  # they still want it
    assert server.tell("go") == "done"
    until(lambda: board.all() == [])  # nobody here waits for it
    assert gate.done == []
    board.close()


def test_what_is_finished_elsewhere_is_fetched_by_who_waits_here(store: RunStore, server: Server, gate: Gate) -> None:
    gate.go.set()
    board = Board(store, beat_s=BEAT)
    mine = ask(board, "a")
    assert mine.elsewhere
    assert server.tell("go") == "done"
    until(lambda: mine.state == "done")
    assert not mine.elsewhere and mine.result == "a"  # carried out here: its points are read from the store
    board.close()


def test_what_is_cancelled_elsewhere_goes_on_here_where_somebody_wants_it(store: RunStore, server: Server, gate: Gate) -> None:
    gate.go.set()
    board = Board(store, beat_s=BEAT)
    mine = ask(board, "a")
    assert server.tell("cancel") == "cancelled"
    until(lambda: mine.state == "done")
    assert gate.done == ["a"]
    board.close()


def test_a_server_that_is_killed_hands_its_work_to_the_one_that_lives(store: RunStore, server: Server, gate: Gate) -> None:
    gate.go.set()
    board = Board(store, beat_s=BEAT)
    board.resume()
    assert board.all()[0].elsewhere
    server.kill()
    until(lambda: gate.done == ["a"])
    until(lambda: store.jobs.active() == [])
    board.close()


def test_a_job_tells_of_itself_while_it_runs(store: RunStore, gate: Gate) -> None:
    board = Board(store, beat_s=BEAT)
    job: Job = ask(board, "a")
    until(gate.running.is_set)
    until(lambda: store.jobs.active()[0].fraction == 0.25)
    first = store.jobs.active()[0]
    until(lambda: store.jobs.active()[0].heartbeat > first.heartbeat)
    assert store.jobs.active()[0].state == "running" == job.state
    gate.go.set()
    until(lambda: store.jobs.active() == [])
    board.close()
