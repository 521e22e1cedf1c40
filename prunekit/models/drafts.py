"""Drafts: what is written beside its place and takes it when it is whole; what a killed process left of one goes with the next."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: there a draft that was left behind stays
    fcntl = None

MARK, OLD = ".prunekit-draft", "old"
YOUNG_S = 60.0
"""A younger draft is left alone: its process may not have come to lock it yet."""


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a folder beside a target to work in; what was not moved away by the end goes with it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    bring_back(target)
    clear(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=MARK, dir=target.parent))
    handle = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def write_file(target: Path, payload: bytes) -> None:
    """Write a file whole or not at all, and its folder where there is none; an OSError where that fails."""
    with draft(target) as folder:
        made = folder / target.name
        made.write_bytes(payload)
        made.replace(target)


def put(made: Path, target: Path) -> None:
    """Put a finished folder, which lies in a draft of it, in its place: what stood there before comes back where that fails half-way."""
    if not target.exists():
        made.rename(target)
        return
    old = made.parent / OLD
    target.rename(old)
    try:
        made.rename(target)
    except OSError:
        old.rename(target)
        raise


def bring_back(target: Path) -> None:
    """Bring back what a process was about to replace or to remove when it was killed."""
    if target.exists():
        return
    for old in target.parent.glob(f".{glob.escape(target.name)}.*{MARK}/{OLD}"):
        if _is_left(old.parent):
            with suppress(OSError):
                old.rename(target)
                return


def clear(place: Path, young_s: float = YOUNG_S) -> None:
    """Remove from a folder the drafts of dead processes."""
    for folder in place.glob(f".*{MARK}"):
        name = folder.name[1 : -len(MARK)].rpartition(".")[0]
        only = (folder / OLD).exists() and not (place / name).exists()  # it comes back when somebody asks for it
        if not only and _is_left(folder, young_s):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path, young_s: float = 0.0) -> bool:
    """Whether nobody works in a draft any more: its lock goes with its process."""
    if fcntl is None:
        return False
    try:
        if time.time() - folder.stat().st_mtime < young_s:
            return False
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
