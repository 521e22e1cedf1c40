"""A classroom: what its server is told by the environment, the folder that its runs live in, and emptying that for the next class."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prunekit.errors import StoreError
from prunekit.experiments.home import VARIABLE as HOME
from prunekit.experiments.store import RunStore
from prunekit.lessons.lesson import LESSONS

VARIABLE, KEY = "PRUNEKIT_CLASSROOM", "PRUNEKIT_CLASSROOM_KEY"
MARK = ".prunekit-classroom"
"""A file of this name says that everything in its folder belongs to a class and may go."""
TABLES = ("points", "measurements", "labels", "sweeps", "jobs", "runs")
FOLDERS = ("models", "checkpoints", "archives")


@dataclass(frozen=True)
class Classroom:
    """What a server for a class has to know."""

    address: str = ""  # what the class opens, without a slash at the end; empty where it is not known
    key: str = ""  # who shows it is the teacher; empty for no teacher

    @property
    def lessons(self) -> list[tuple[str, str]]:
        """The title and the address of each lesson, in order."""
        return [(lesson.title, f"{self.address}/learn?lesson={lesson.number}") for lesson in LESSONS]

    @property
    def teacher(self) -> str:
        """The address that the teacher opens."""
        return f"{self.address}/?teacher={self.key}"

    def to_environment(self, folder: Path) -> dict[str, str]:
        """Return the variables for the server."""
        return {VARIABLE: self.address or "1", KEY: self.key, HOME: str(folder)}


def from_environment(variables: Mapping[str, str] | None = None) -> Classroom | None:
    """Return what this server was told, or None where it serves no class."""
    found = os.environ if variables is None else variables
    told = found.get(VARIABLE, "").strip()
    if not told:
        return None
    return Classroom(told.rstrip("/") if "://" in told else "", found.get(KEY, "").strip())


def new_key() -> str:
    """Return a key that nobody guesses and that can be typed."""
    return secrets.token_hex(8)


def mark(folder: Path) -> None:
    """Say that a folder, empty now, belongs to a class."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StoreError(f"{folder} is not empty: the runs of a class need a folder of their own")
    (folder / MARK).write_text("Runs of a class, removed when the next one begins.\n", encoding="utf-8")


def clear(store: RunStore) -> None:
    """Remove every run, what was seen of it and its files, for the next class."""
    folder = store.path.parent
    if not (folder / MARK).is_file():
        raise StoreError(
            f"the runs in {folder} do not belong to a class alone, so they stay: start the class with `prunekit app --classroom`"
        )
    with store.database.write() as connection:
        for table in TABLES:  # what refers to others goes before them
            connection.execute(f"DELETE FROM {table}")
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
