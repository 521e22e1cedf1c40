"""How many jobs run at a time, and how long finished ones are remembered."""

from __future__ import annotations

import logging
import os

VARIABLE = "PRUNEKIT_JOBS"
MOST_FINISHED = 64
BEAT_S = 5.0

_LOG = logging.getLogger("prunekit.jobs")


def workers() -> int:
    """Return how many jobs run at a time: ``PRUNEKIT_JOBS``, or 1."""
    told = os.environ.get(VARIABLE, "").strip() or "1"
    if told.isdecimal() and int(told) >= 1:
        return int(told)
    _LOG.warning("%s must be a whole number of at least 1; got %r: one job runs at a time", VARIABLE, told)
    return 1
