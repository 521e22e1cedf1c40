"""Memory of the process that measures: what it holds, and the most that it held."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

_STATUS, _PEAK, _VICTIM = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/self/oom_score_adj")


def _read(field: str) -> int | None:
    """Return a field of this process's status in bytes."""
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def settled() -> int | None:
    """Give back what is free and start looking for the peak anew.

    Returns
    -------
    int or None
        Resident bytes now; None where the system does not tell.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed pages otherwise, and they would count as held
    try:
        _PEAK.write_text("5")
    except OSError:
        return None
    return _read("VmRSS")


def peak() -> int | None:
    """Return the most resident bytes since :func:`settled`; None where the system does not tell."""
    return _read("VmHWM")


def available() -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not tell."""
    try:
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def volunteer() -> None:
    """Have the system end this process first where memory runs out: it only measures, others serve."""
    with contextlib.suppress(OSError):
        _VICTIM.write_text("1000")
