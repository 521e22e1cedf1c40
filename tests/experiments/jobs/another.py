"""Another server on the same store: a process of its own, forked from one that has everything loaded."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from prunekit.experiments.jobs.board import Board
from prunekit.experiments.jobs.job import KINDS, Job
from prunekit.experiments.store import RunStore

SOON = 60.0


def serve(path: str, told: Connection) -> None:
    """Have a board on a store, and a job that goes on when it is told to."""

    def work(_request: dict[str, Any], job: Job) -> str:
        job.progress(0.25, "a quarter")
        while True:
            word = told.recv()
            if word == "cancel":
                board.stop(job.key, "them")
                job.progress(0.5)
            if word == "go":
                return "there"
            job.progress(float(word), "further")
            told.send("further")

    KINDS["gate"] = work
    board = Board(RunStore(Path(path)), beat_s=0.05)
    board.resume()
    job = board.submit("gate", {"name": "a"}, "job a", "them")
    while job.state != "running" or not job.fraction:
        time.sleep(0.005)
    told.send("running")
    while job.active:
        time.sleep(0.005)
    told.send(job.state)
    time.sleep(SOON)


class Server:
    """The other process, its job running."""

    def __init__(self, context: ForkServerContext, path: Path) -> None:
        self._told, theirs = multiprocessing.Pipe()
        self.process = context.Process(target=serve, args=(str(path), theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self.line() == "running"

    def line(self) -> str:
        assert self._told.poll(SOON), "it said nothing"
        return str(self._told.recv())

    def tell(self, word: str) -> str:
        self._told.send(word)
        return self.line()

    def kill(self) -> None:
        """End it as the system would, without a last word."""
        self.process.kill()
        self.process.join(SOON)


def context() -> ForkServerContext:
    """Return what servers are forked from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["prunekit.experiments.jobs.work", __name__])
    return found
