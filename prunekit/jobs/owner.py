"""Which process does a piece of work, and whether it still lives."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
import uuid
from functools import cache
from pathlib import Path

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
