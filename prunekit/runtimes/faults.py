"""Turning what libraries raise into a line that a person can read."""

from __future__ import annotations


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of an error that says something, at most ``most`` characters, without a full stop at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[0].rstrip(".")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
