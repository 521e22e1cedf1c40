"""`Ledger`: the rows of one board's jobs, and which process does each; a store that fails costs the resuming, never the work."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from prunekit.errors import StoreError
from prunekit.experiments.job_rows import JobRow, JobRows
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.store import RunStore

STALE_S = 60.0
"""A process on another machine that has not been heard of for so long counts as dead."""


def new_owner() -> str:
    """Return a name for one board of this process: machine, process id, when the process began, and a mark of its own."""
    told = {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid()), "board": uuid.uuid4().hex}
    return json.dumps(told, sort_keys=True)


def alive(owner: str, heartbeat: float) -> bool:
    """Return whether an owner still lives.

    On this machine the system knows: a process id counts only with the time at which that process began, since ids are used again.
    Of another machine the last heartbeat is all there is.

    Parameters
    ----------
    owner : str
        As `new_owner` says; "" for work that was given up.
    heartbeat : float
        When it was last heard of, in seconds of the epoch.
    """
    try:
        told = json.loads(owner)
        host, pid, began = str(told["host"]), int(told["pid"]), str(told["began"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != platform.node():
        return time.time() - heartbeat < STALE_S
    return bool(began) and _began(pid) == began


def _began(pid: int) -> str:
    """Return when a process began, in whatever form the system tells it; "" where there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").is_file():
        return _told_by_ps(pid)
    try:
        # the name may hold spaces and brackets, so count from behind it; a zombie has ended
        values = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if values[0] in ("Z", "X") else f"{_boot()}:{values[19]}"


@cache
def _boot() -> str:
    """Return what tells this start of the machine from others: times of processes are counted from it."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""


def _told_by_ps(pid: int) -> str:
    """Return when a process began, where there is no /proc."""
    try:
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return str(pid)  # nothing is known: it counts as alive
    return done.stdout.strip()


_LOG = logging.getLogger("prunekit.experiments.jobs")
Answer = TypeVar("Answer")


class Ledger:
    """The table of jobs as one board uses it.

    Parameters
    ----------
    store : RunStore or None
        None keeps no rows.

    Attributes
    ----------
    owner : str
        The name under which the board's work stands there.
    """

    def __init__(self, store: RunStore | None) -> None:
        self.owner = new_owner()
        self._rows = None if store is None else store.jobs
        self._said: set[str] = set()

    def claim(self, job: Job) -> bool:
        """Enter a job as ours; False where a process that lives has it already.

        Parameters
        ----------
        job : Job
            Gains a warning where the store does not take it.
        """
        try:
            return self._rows is None or self._claimed(self._rows, job)
        except StoreError as error:
            job.warn(f"{error}. The work goes on, and is not taken up again after a restart")
            return True

    def _claimed(self, rows: JobRows, job: Job) -> bool:
        """Take the row unless it is another's."""
        there = rows.get(job.key)
        if there is not None and there.active and self.others(there):
            return False
        return rows.take(self._row(job), there)

    def others(self, row: JobRow) -> bool:
        """Return whether a row is the work of another owner who lives."""
        return row.owner != self.owner and alive(row.owner, row.heartbeat)

    def note(self, job: Job) -> None:
        """Write down where a job stands."""
        self._try(lambda rows: rows.note(self._row(job)), None)

    def get(self, key: str) -> JobRow | None:
        """Return the row of a job."""
        return self._try(lambda rows: rows.get(key), None)

    def active(self) -> list[JobRow]:
        """Return all unfinished work that is not this board's."""
        nothing: list[JobRow] = []
        return [row for row in self._try(lambda rows: rows.active(), nothing) if row.owner != self.owner]

    def release(self) -> None:
        """Give up what is not finished."""
        self._try(lambda rows: rows.release(self.owner), None)

    def _try(self, question: Callable[[JobRows], Answer], otherwise: Answer) -> Answer:
        """Ask the table; where it fails, the log has it, once for each reason."""
        if self._rows is None:
            return otherwise
        try:
            return question(self._rows)
        except StoreError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _LOG.warning("%s", error)
            return otherwise

    def _row(self, job: Job) -> JobRow:
        """Return a job as a row."""
        now = time.time()
        told = (job.key, job.kind, job.request, job.title, job.state, job.fraction, job.text, job.error, job.warning)
        return JobRow(*told, self.owner, now, now)
