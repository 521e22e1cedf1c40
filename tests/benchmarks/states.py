"""For benchmarks that measure one model after the other: each in a process of its own, what is done kept in a file, so that they go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FAILED = "failed"  # the key under which a row says why there is nothing else in it


def known(state: Path | None) -> dict[str, Row]:
    """Return what a state file holds: the last row of every model."""
    lines = state.read_text(encoding="utf-8").splitlines() if state and state.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def note(state: Path, row: Row) -> None:
    """Add a row to a state file."""
    with state.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def alone(script: str, name: str, seconds: float, *options: str, threads: int | None = 1) -> Row:
    """Run ``script --child name``; return the row on its last line, or one that says why there is none. None: all threads."""
    command = [sys.executable, script, "--child", name, *options]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)} if threads else {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"name": name, FAILED: f"no end in {seconds:g} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"name": name, FAILED: (done.stderr.strip().splitlines() or ["no answer"])[-1][:400]}
    return dict(json.loads(lines[-1]))
