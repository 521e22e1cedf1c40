"""Who does a piece of work: the name of a board, and whether its process still lives."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid

import psutil

STALE_S = 60.0
"""A process on another machine that has not been heard of for so long counts as dead."""
SAME_S = 2.0
"""The beginning of a process is told from the clock, which is set now and then."""


def new_owner() -> str:
    """Return a name for one board of this process: machine, process id, when the process began, and a mark of its own."""
    told = {"host": platform.node(), "pid": os.getpid(), "began": psutil.Process().create_time(), "board": uuid.uuid4().hex}
    return json.dumps(told, sort_keys=True)


def alive(owner: str, heartbeat: float) -> bool:
    """Return whether an owner ("" for work that was given up) still lives, last heard of at a time in seconds of the epoch.

    On this machine the system knows: a process id counts only with the time at which that process began, since ids are used again.
    Of another machine the last heartbeat is all there is.
    """
    try:
        told = json.loads(owner)
        host, pid, began = str(told["host"]), int(told["pid"]), float(told["began"])
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
