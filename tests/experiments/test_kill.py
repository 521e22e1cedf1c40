"""Killed at any moment, a sweep goes on by itself where it was, and ends with the rows of one that was never disturbed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.jobs.board import Board
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
REQUEST = SweepRequest(ModelId("digits_cnn"), DataId("digits"), PruneSpec(), sparsities=tuple(i / 100 for i in range(1, 97)))
SHORT = replace(REQUEST, sparsities=REQUEST.sparsities[::4])

# A server takes up what was left behind, says when a point is measured, and leaves when all is done. Each is forked from a process that
# has loaded libraries, model and data already: only that is spared, the store is opened and the work taken up anew.
SERVERS = """
import os, sys, time
import torch
from prunekit.data import load_data
from prunekit.experiments import RunStore, experiment, use_loader
from prunekit.experiments.jobs import Board, job as kinds
from prunekit.models import load_model

torch.set_num_threads(1)
kinds.work_of("sweep")
model = load_model("digits_cnn")
data = load_data("digits", model=model)
use_loader(lambda model_id, data_id: (model, data))
measure = experiment.evaluate

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def evaluate(model, part, **more):
    found = measure(model, part, **more)
    say("measured")
    return found

def serve(path):
    experiment.evaluate = evaluate
    board = Board(RunStore(path), beat_s=0.1)
    board.resume()
    say("ready", os.getpid())
    while any(job.active for job in board.all()):
        time.sleep(0.01)
    say("finished", *(job.error for job in board.all()))

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            serve(line.strip())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    say("ended")
"""


class Left:
    """An executor of a server that dies before it begins."""

    def submit(self, fn: object, *args: object) -> Any:
        return Future()


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of what was made and measured, but for the time."""
    with sqlite3.connect(path) as connection:
        columns = {
            "runs": "id, kind, title, model, weights, spec, recovery, trained_on, parent, info",
            "measurements": "id, run, what, data, data_hash, split, n, runtime, machine, versions, value, observations, metric",
            "points": "sweep, position, requested, run, measurement",
            "sweeps": "id, request, weights",
        }
        return {table: connection.execute(f"SELECT {names} FROM {table} ORDER BY 1, 2").fetchall() for table, names in columns.items()}


def points(path: Path) -> int:
    """Return how many points are committed."""
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM points").fetchone()[0])


def left_behind(path: Path, request: SweepRequest) -> None:
    """Enter the sweep as the work of a server that is dead."""
    store = RunStore(path)
    board = Board(store, Left(), beat_s=3600)
    board.submit("sweep", request.to_dict(), "a sweep", "somebody")
    store.database.read("UPDATE jobs SET owner = replace(owner, ?, ?) RETURNING key", ('"began": ', '"began": -'))
    store.close()


class Servers:
    """One server after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVERS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def serve(self, path: Path, kill_after: tuple[int, float] | None = None) -> list[str]:
        """Let one server work, kill it some seconds after so many points, and return what it said."""
        assert self.process.stdin is not None
        print(path, file=self.process.stdin)
        said = self._until("ready")
        if kill_after is not None:
            pid, (count, seconds) = int(said[-1].split()[1]), kill_after
            while said.count("measured\n") < count and not said[-1].startswith("finished"):
                said.append(self._line())
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it may have finished
                os.kill(pid, signal.SIGKILL)
        return said + self._until("ended")

    def _until(self, word: str) -> list[str]:
        """Return the lines up to one that begins with a word."""
        said = [self._line()]
        while not said[-1].startswith(word):
            said.append(self._line())
        return said

    def _line(self) -> str:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the servers are gone"
        return line


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.parametrize(("request_", "kills"), [(SHORT, 3), pytest.param(REQUEST, 10, marks=pytest.mark.nightly)], ids=["few", "many"])
def test_kills_at_random_moments_lose_at_most_the_point_in_work(
    tmp_path: Path, servers: Servers, request_: SweepRequest, kills: int
) -> None:
    undisturbed, path = tmp_path / "undisturbed.sqlite", tmp_path / "runs.sqlite"
    left_behind(undisturbed, request_)
    begun = time.monotonic()
    assert servers.serve(undisturbed).count("measured\n") == len(request_.sparsities) + 1
    each = (time.monotonic() - begun) / len(request_.sparsities)

    left_behind(path, request_)
    moments, measured, lost = random.Random(20261121), 0, 0
    for place in sorted(moments.sample(range(len(request_.sparsities) - 5), kills)):
        before = points(path)
        moment = max(0, place - before), moments.uniform(0, 2 * each)
        now = servers.serve(path, moment).count("measured\n")
        kept = points(path) - before
        # killed after a point was measured and before it was committed, that point is lost: killed while measuring, it was not counted
        assert now - kept in (0, 1)
        measured, lost = measured + now, lost + now - kept
    said = servers.serve(path)
    measured += said.count("measured\n")

    assert said[-2].split() == ["finished"]  # and no error behind it; where the last one killed had just finished, no job is left to name
    assert rows(path) == rows(undisturbed)
    assert measured == len(request_.sparsities) + 1 + lost
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT state, fraction FROM jobs").fetchall() == [("done", 1.0)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
