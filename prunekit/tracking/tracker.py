"""`Tracker`: what an experiment tracker is told of one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias


class Tracker(Protocol):
    """What an experiment tracker is told of one run."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for, by name: texts, numbers and truth values."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Note what was measured, by name: finite numbers. ``step`` is an epoch, or the place in a sweep."""

    def artifact(self, path: Path) -> None:
        """Keep a file, by its name."""

    def end(self, failed: bool = False) -> None:
        """Close the run."""


LogTo: TypeAlias = Tracker | str | None
"""What work takes to be logged: a tracker, the name of one that comes along, or nothing."""
