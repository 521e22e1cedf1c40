"""Memory of the process that measures, and energy from the processor's own counter (RAPL), where the system shows it."""

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
    """Give back what is free, start looking for the peak anew, and return resident bytes; None where the system does not tell."""
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


COUNTERS = Path("/sys/class/powercap")
NOT_HERE = "not available here: the processor's energy counter (RAPL) cannot be read"


class Meter:
    """The energy counters of all processor packages. ``reason``: why there is nothing to read; "" where there is."""

    def __init__(self, root: Path = COUNTERS) -> None:
        # only whole packages: their parts (intel-rapl:0:1) and the platform around them ("psys") would count twice
        found = [folder for folder in sorted(root.glob("*-rapl:*")) if _is_package(folder)] if root.is_dir() else []
        self._zones = [(folder / "energy_uj", _number(folder / "max_energy_range_uj")) for folder in found]
        self._zones = [(file, most) for file, most in self._zones if _number(file) is not None]
        self.reason = "" if self._zones else NOT_HERE

    def read(self) -> tuple[int, ...]:
        """Return the counters in microjoules."""
        return tuple(_number(file) or 0 for file, _ in self._zones)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Return the energy between two readings, in joules; a counter that began anew in between is taken as one that went round."""
        total = 0
        for (_, most), a, b in zip(self._zones, before, after, strict=True):
            total += b - a if b >= a else b - a + (most or 0)
        return total / 1e6


def _is_package(folder: Path) -> bool:
    """Return whether a zone is a whole processor."""
    try:
        return folder.name.count(":") == 1 and (folder / "name").read_text().startswith("package")
    except OSError:
        return False


def _number(file: Path) -> int | None:
    """Return the whole number that a file holds."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
