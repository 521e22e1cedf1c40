"""Work in the background: one after the other, shared, stopped only by the last who wants it, and known to whoever comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from prunekit.errors import ModelError, PrunekitError, named
from prunekit.experiments.jobs import job
from prunekit.experiments.jobs.board import Board, key_of
from prunekit.experiments.jobs.job import KINDS, Job, workers
from prunekit.experiments.jobs.queue import MOST_FINISHED
from prunekit.experiments.store import RunStore

SOON = 60.0


class Gate:
    """Work that goes on when it is told to."""

    def __init__(self) -> None:
        self.running, self.go = threading.Event(), threading.Event()
        self.done: list[str] = []

    def __call__(self, request: dict[str, Any], job: Job) -> str:
        self.running.set()
        job.progress(0.25, "a quarter")
        job.add(1)
        while not self.go.wait(0.005):
            job.progress(0.25, "a quarter")  # as before each batch: raises when nobody wants it
        self.done.append(request["name"])
        return str(request["name"])


@pytest.fixture
def gate(monkeypatch) -> Gate:
    made = Gate()
    monkeypatch.setitem(KINDS, "gate", made)
    return made


@pytest.fixture
def store(tmp_path) -> Iterator[RunStore]:
    made = RunStore(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def board(store: RunStore) -> Iterator[Board]:
    made = Board(store)
    yield made
    made.close()


def until(true: Callable[[], object]) -> None:
    """Wait until something is true, or fail."""
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def ask(board: Board, name: str, by: str = "me") -> Job:
    return board.submit("gate", {"name": name}, f"job {name}", by)


def test_one_runs_and_the_rest_wait_in_the_order_of_asking(board: Board, gate: Gate) -> None:
    jobs = [ask(board, name) for name in "abc"]
    until(gate.running.is_set)
    ask(board, "a", "you")  # asking again changes nothing
    assert [job.state for job in jobs] == ["running", "waiting", "waiting"]
    assert [board.ahead(job.key) for job in jobs] == [[], jobs[:1], jobs[:2]]
    assert board.of("me") == jobs == board.all()
    gate.go.set()
    until(lambda: not board.of("me"))
    assert gate.done == ["a", "b", "c"]
    assert [(job.state, job.fraction, job.result, job.partial) for job in jobs] == [("done", 1.0, name, [1]) for name in "abc"]


def test_several_run_at_once_where_that_is_asked_for(store: RunStore, gate: Gate, monkeypatch) -> None:
    monkeypatch.setenv("PRUNEKIT_JOBS", "2")
    board = Board(store)
    jobs = [ask(board, name) for name in "abc"]
    until(lambda: [job.state for job in jobs] == ["running", "running", "waiting"])
    gate.go.set()
    until(lambda: not board.of("me"))
    board.close()


@pytest.mark.parametrize(("told", "number"), [("", 1), (" 3 ", 3), ("0", 1), ("-1", 1), ("many", 1)])
def test_a_number_of_jobs_that_makes_no_sense_is_one(monkeypatch, caplog, told: str, number: int) -> None:
    monkeypatch.setenv("PRUNEKIT_JOBS", told)
    assert workers() == number
    assert bool(caplog.records) == (told in ("0", "-1", "many"))


def test_the_same_work_is_one_job_and_its_result_is_there_for_who_comes_back(board: Board, gate: Gate) -> None:
    mine, yours = ask(board, "a"), ask(board, "a", "you")
    assert mine is yours is board.get(key_of("gate", {"name": "a"})) and mine.wanted_by == {"me", "you"}
    gate.go.set()
    until(lambda: mine.state == "done")
    assert ask(board, "a", "they") is mine and gate.done == ["a"]
    board.drop(mine.key)
    again = ask(board, "a")
    assert again is not mine
    until(lambda: again.state == "done")
    assert gate.done == ["a", "a"]


def test_only_the_last_who_wants_it_stops_a_job(board: Board, gate: Gate, store: RunStore) -> None:
    job = ask(board, "a")
    ask(board, "a", "you")
    until(gate.running.is_set)
    board.stop(job.key, "me")
    board.stop(job.key, "a stranger")
    assert job.state == "running" and not job.cancel.is_set()
    board.stop(job.key, "you")
    until(lambda: job.state == "cancelled")
    assert gate.done == [] and job.partial == [1]
    row = store.jobs.get(job.key)
    assert row is not None and row.state == "cancelled"


def test_a_waiting_job_is_cancelled_at_once_and_never_begun(board: Board, gate: Gate) -> None:
    first, second, third = ask(board, "a"), ask(board, "b"), ask(board, "c")
    until(gate.running.is_set)
    board.stop(second.key, "me")
    assert second.state == "cancelled" and len(board.ahead(third.key)) == 1
    gate.go.set()
    until(lambda: third.state == "done")
    assert gate.done == ["a", "c"] and first.state == "done"


def test_what_has_been_told_to_stop_is_not_joined(board: Board, monkeypatch) -> None:
    go, running = threading.Event(), threading.Event()

    def slow(request: dict[str, Any], job: Job) -> str:
        running.set()
        go.wait(SOON)  # a long batch
        job.progress(0.5)
        return "done"

    monkeypatch.setitem(KINDS, "slow", slow)
    dying = board.submit("slow", {}, "slow", "me")
    until(running.is_set)
    board.stop(dying.key, "me")
    again = board.submit("slow", {}, "slow", "me")
    assert again is not dying and board.get(dying.key) is again
    go.set()
    until(lambda: again.state == "done")
    assert dying.state == "cancelled" and again.result == "done"


def test_a_refusal_is_said_in_its_own_words_and_anything_else_is_logged(board: Board, monkeypatch, caplog) -> None:
    def fail(request: dict[str, Any], job: Job) -> None:
        raise {
            "refused": ModelError(f"{named('seed')} is of no such model: name another"),
            "odd": KeyError("secret"),
            "gone": OSError(2, "not there", "x.pt"),
        }[request["how"]]

    monkeypatch.setitem(KINDS, "fail", fail)
    with caplog.at_level(logging.ERROR):
        jobs = {how: board.submit("fail", {"how": how}, how, "me") for how in ("refused", "odd", "gone")}
        until(lambda: all(job.state == "failed" for job in jobs.values()))
    assert str(ModelError(jobs["refused"].error)) == "seed is of no such model: name another"
    assert ModelError(jobs["refused"].error).said({"seed": "“Seed”"}.__getitem__).startswith("“Seed” is of")
    assert "not there" in jobs["gone"].error
    assert "secret" not in jobs["odd"].error and "the server's log has the details" in jobs["odd"].error
    assert [record.getMessage() for record in caplog.records] == ["job failed: odd"]
    assert caplog.records[0].exc_info is not None
    assert board.submit("fail", {"how": "odd"}, "odd", "me") is not jobs["odd"]  # asked again, it is tried again


def test_an_unknown_kind_is_refused(board: Board) -> None:
    with pytest.raises(PrunekitError, match=r"no work of the kind 'paint'.*accuracy.*sweep"):
        board.submit("paint", {}, "paint", "me")


def test_local_work_leaves_no_row(board: Board, store: RunStore) -> None:
    job = board.submit_local("k", "local", lambda job: job.add(3), "me")
    until(lambda: job.state == "done")
    assert job.partial == [3] and store.jobs.get("k") is None and store.jobs.active() == []


def test_finished_jobs_are_forgotten_beyond_a_bound(board: Board) -> None:
    last = [board.submit_local(str(i), "local", lambda job: None, "me") for i in range(MOST_FINISHED + 9)][-1]
    until(lambda: last.state == "done")
    board.submit_local("more", "local", lambda job: None, "me")
    until(lambda: not board.of("me"))
    board.submit_local("more still", "local", lambda job: None, "me")
    assert board.get("0") is None and board.get(last.key) is last
    assert len(board.all()) <= MOST_FINISHED + 1


def test_the_time_left_follows_the_pace_since_the_first_progress(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(job.time, "monotonic", lambda: clock[0])
    made = Job("k", "t", state="running")
    assert made.left_s is None
    made.progress(0.5, "read from the store")
    clock[0] += 2
    made.progress(0.52)
    assert made.left_s is None, "two seconds tell nothing"
    for _ in range(8):
        clock[0] += 1
        made.progress(made.fraction + 0.01)
    assert made.left_s == pytest.approx(40)
    clock[0] += 15
    assert made.left_s == pytest.approx(25)
    clock[0] += 100
    assert made.left_s is None, "it takes longer than its pace said"
    made.progress(made.fraction + 0.01)
    assert made.left_s is None, "its paces do not agree"
    for _ in range(200):
        clock[0] += 1
        made.progress(made.fraction + 0.0005)
    assert made.left_s == pytest.approx((1 - made.fraction) / 0.0005, rel=0.2) and len(made._told) <= 65
    made.progress(2.0)
    assert made.fraction == 1.0 and made.left_s is None
    made.state = "done"
    assert made.left_s is None


class Threads:
    """A thread for each piece of work: another thing that has the shape of an executor."""

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.taken += 1
        future: Future[Any] = Future()
        threading.Thread(target=lambda: future.set_result(fn(*args)), daemon=True).start()
        return future


class Now:
    """Does everything while one waits."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args))
        return future


class Closed:
    """Takes nothing any more."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after shutdown")


def test_work_goes_to_any_executor(store: RunStore, gate: Gate) -> None:
    executor = Threads()
    board = Board(store, executor)
    jobs = [ask(board, name) for name in "ab"]
    until(lambda: all(job.state == "running" for job in jobs))
    board.stop(jobs[0].key, "me")
    until(lambda: jobs[0].state == "cancelled")
    gate.go.set()
    until(lambda: jobs[1].state == "done")
    assert executor.taken == 2 and gate.done == ["b"]
    board.close()
    assert ask(Board(None, Now()), "c").state == "done"
    refused = ask(Board(None, Closed()), "d")
    assert refused.state == "failed" and "could not be started" in refused.error


def test_a_store_that_fails_costs_the_resuming_and_not_the_work(store: RunStore, gate: Gate) -> None:
    gate.go.set()
    board = Board(store)
    store.close()
    job = ask(board, "a")
    until(lambda: job.state == "done")
    assert job.result == "a" and "not taken up again after a restart" in job.warning
    board.resume()
    board.close()


def test_the_board_of_the_process_works_without_a_store(monkeypatch, tmp_path) -> None:
    from prunekit.experiments import jobs

    (tmp_path / "runs.sqlite").write_text("no database at all, but long enough to be looked at as one" * 20)
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    monkeypatch.setattr(jobs, "_BOARDS", [])
    board = jobs.board()
    assert board is jobs.board() and board.store is None and "damaged" in board.warning
    board.resume()
    board.close()


def test_forgetting_everything_stops_what_runs_and_what_waits(board, gate) -> None:
    running = board.submit("gate", {"name": "first"}, "First", "a")
    until(gate.running.is_set)
    waiting = board.submit("gate", {"name": "second"}, "Second", "b")
    board.forget_all()
    assert not board.all() and not board.store.jobs.active(), "nobody takes them up again"
    assert running.state == waiting.state == "cancelled" and not gate.done
    gate.go.set()
    again = board.submit("gate", {"name": "first"}, "First", "a")
    until(lambda: not again.active)
    assert again is not running and again.result == "first"


def test_a_job_that_may_not_be_seen_is_joined_by_who_asks_for_it(board, gate) -> None:
    gate.go.set()
    done = board.submit("gate", {"name": "theirs"}, "Theirs", "a")
    until(lambda: not done.active)
    board.shows = lambda job: False
    assert board.get(done.key) is None and board.submit("gate", {"name": "theirs"}, "Theirs", "b") is done
    assert gate.done == ["theirs"]


def test_work_gets_the_store_that_is_meant_for_it(store: RunStore) -> None:
    other, board = RunStore(store.path), Board(store)
    board.store_for = lambda job, own: other if own is store and job.key == "mine" else own
    found = [board.submit_local(key, "Which store", lambda job: job.store, "a") for key in ("mine", "yours")]
    until(lambda: not any(job.active for job in found))
    assert [job.result for job in found] == [other, store]
    board.close()
    other.close()
