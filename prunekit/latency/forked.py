"""Work in a process of its own, forked where that is possible: what dies or hangs there costs only itself."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 300.0


def in_a_process(work: Callable[..., None], *args: Any, alive: Callable[[], object], fork: bool = True) -> str:
    """Do work in a process of its own.

    Parameters
    ----------
    work : callable
        A function of a module; it leaves its results in files.
    *args
        Its arguments.
    alive : callable
        Called every second while it works.
    fork : bool
        Whether what is imported here may be there already. Not for CUDA, which does not survive a fork, nor elsewhere than on Linux,
        where system libraries do not.

    Returns
    -------
    str
        How it ended, where it did not end well.
    """
    context: Any = multiprocessing.get_context("fork" if fork and sys.platform == "linux" else "spawn")
    process = context.Process(target=work, args=args)
    process.start()
    start = time.monotonic()
    while process.exitcode is None and time.monotonic() - start < LIMIT_S:
        process.join(1.0)
        alive()
    if process.exitcode is None:
        process.kill()
        process.join()
        return f"it took longer than {LIMIT_S:.0f} s and was ended"
    if process.exitcode == -9:
        return "its process was killed by the system, as happens when memory runs out: take a smaller batch"
    return "" if process.exitcode == 0 else f"its process died (exit code {process.exitcode})"
