"""The lock that lets a process take one measurement of time at a time, and the check of its settings."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prunekit.errors import LatencyError
from prunekit.evaluation.progress import Progress

TURN = threading.Lock()
"""Held by the measurement that runs: two would slow each other down and both be wrong."""

MOST_BATCH = 65536
MOST_TOKENS = 131_072
MOST_ROUNDS = 1000


@contextmanager
def my_turn(progress: Progress) -> Iterator[None]:
    """Wait until no other measurement runs in this process."""
    while not TURN.acquire(timeout=0.1):
        progress(0.0, "waiting for another latency measurement")
    try:
        progress(0.0, "starting a process of its own")
        yield
    finally:
        TURN.release()


def check_numbers(
    batches: Sequence[int], threads: Sequence[int], budget_s: float, min_rounds: int = 1, lengths: Sequence[int] = ()
) -> None:
    """Raise unless the numbers make sense."""
    if not batches or not threads:
        raise LatencyError("give at least one batch and one number of threads")
    checks = [("batch", value, MOST_BATCH) for value in batches] + [("threads", value, os.cpu_count() or 1) for value in threads]
    checks += [("length", value, MOST_TOKENS) for value in lengths]
    for name, value, most in (*checks, ("min_rounds", min_rounds, MOST_ROUNDS)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise LatencyError(f"{name} must be a whole number from 1 to {most}; got {value!r}")
    if not math.isfinite(budget_s) or not 0 < budget_s <= 3600:
        raise LatencyError(f"the time budget must be above 0 and at most 3600 seconds; got {budget_s!r}")
