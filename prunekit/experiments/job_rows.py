"""Jobs as rows of the store: they survive a server that dies, and keep two live servers from doing the same work."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
import uuid
from dataclasses import dataclass, field, fields
from typing import Any

import psutil

from prunekit.experiments.database import Database

STALE_S = 60.0
"""A process on another machine that has not been heard of for so long counts as dead."""
SAME_S = 2.0
"""The beginning of a process is told from the clock, which is set now and then."""


def new_owner() -> str:
    """Return a name for one board of this process: machine, process id, when the process began, and a mark of its own."""
    owner = {"host": platform.node(), "pid": os.getpid(), "began": psutil.Process().create_time(), "board": uuid.uuid4().hex}
    return json.dumps(owner, sort_keys=True)


def alive(owner: str, heartbeat: float) -> bool:
    """Return whether an owner ("" for work that was given up) still lives, last heard of at a time in seconds of the epoch.

    On this machine the system knows: a process id counts only with the time at which that process began, since ids are used again.
    Of another machine the last heartbeat is all there is.
    """
    try:
        named = json.loads(owner)
        host, pid, began = str(named["host"]), int(named["pid"]), float(named["began"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != platform.node():
        return time.time() - heartbeat < STALE_S
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and bool(abs(process.create_time() - began) < SAME_S)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # nothing is known of it but that it is there


ACTIVE = ("waiting", "running")
MOST_FINISHED = 200


@dataclass(eq=False)
class JobRow:
    """One piece of work, as the store keeps it."""

    # key, title, kind: what it does, as a hash and as people read it; which kind of work: "local" for what no other process can do
    key: str
    title: str
    kind: str = "local"
    request: dict[str, Any] = field(default_factory=dict)  # what was asked for: plain values that the kind understands
    state: str = "waiting"  # {"waiting", "running", "done", "failed", "cancelled"}: where it stands
    fraction: float = 0.0  # fraction, text: progress, 0 to 1, and in words
    text: str = ""
    error: str = ""  # error, warning: why it failed, in words fit for the page; what else a person should know
    warning: str = ""
    owner: str = ""  # which process does it
    heartbeat: float = field(default_factory=time.time)  # when that process was last heard of, in seconds of the epoch
    created: float = field(default_factory=time.time)  # when it was asked for: its place in the queue

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    def values(self) -> dict[str, Any]:
        """Return what the store keeps, by column."""
        return {column.name: getattr(self, column.name) for column in fields(JobRow)}


class JobRows:
    """The table of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> JobRow | None:
        """Return the row of a job."""
        rows = self._database.read("SELECT * FROM jobs WHERE key = ?", (key,))
        return _row(rows[0]) if rows else None

    def active(self) -> list[JobRow]:
        """Return what waits or runs in any process, in the order of asking."""
        return [_row(row) for row in self._database.read("SELECT * FROM jobs WHERE state IN (?, ?) ORDER BY created, key", ACTIVE)]

    def take(self, job: JobRow, instead_of: JobRow | None) -> bool:
        """Make a job its owner's, unless another process was faster."""
        with self._database.write() as connection:
            rows = connection.execute("SELECT * FROM jobs WHERE key = ?", (job.key,)).fetchall()
            there = _row(rows[0]) if rows else None
            values = {**job.values(), "request": json.dumps(job.request)}
            if there is not None and there.active:
                if there.owner != (instead_of.owner if instead_of is not None else job.owner):
                    return False
                values["created"] = there.created  # work that is taken over keeps its place in the queue
            marks = ", ".join(f":{name}" for name in values)
            connection.execute(f"INSERT OR REPLACE INTO jobs ({', '.join(values)}) VALUES ({marks})", values)
            self._forget(connection)
            return True

    def note(self, job: JobRow) -> None:
        """Write down where a job stands; a row that has become another owner's is left alone."""
        names = ("state", "fraction", "text", "error", "warning", "heartbeat")
        sets = ", ".join(f"{name} = :{name}" for name in names)
        with self._database.write() as connection:
            connection.execute(f"UPDATE jobs SET {sets} WHERE key = :key AND owner = :owner", job.values())

    def release(self, owner: str) -> None:
        """Give up all work of an owner that is not finished: whoever comes next may take it."""
        with self._database.write() as connection:
            connection.execute("UPDATE jobs SET owner = '', state = 'waiting' WHERE owner = ? AND state IN (?, ?)", (owner, *ACTIVE))

    @staticmethod
    def _forget(connection: sqlite3.Connection) -> None:
        """Drop the oldest finished rows beyond the bound."""
        connection.execute(
            "DELETE FROM jobs WHERE state NOT IN (?, ?) AND key NOT IN "
            "(SELECT key FROM jobs WHERE state NOT IN (?, ?) ORDER BY created DESC LIMIT ?)",
            (*ACTIVE, *ACTIVE, MOST_FINISHED),
        )


def _row(row: sqlite3.Row) -> JobRow:
    """Return a row as a record."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a row is no mapping)
    return JobRow(**{**values, "request": json.loads(values["request"])})
