"""The break-even of sparse kernels on this machine: measured once, kept, and measured again at will."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.home import home
from prunekit.experiments.identity import digest, installed, this_machine
from prunekit.latency.diagnosis.breakeven import BUDGET_S, BreakEven, break_even

FOLDER = "breakeven"


def where(threads: int = 1) -> Path:
    """Return the file of this machine's table: another processor, another torch or another number of threads has another one."""
    return home() / FOLDER / f"{digest(_here(threads))[:16]}.json"


def _here(threads: int) -> dict[str, Any]:
    """Return all that the numbers depend on."""
    return {"machine": dict(this_machine()), "torch": installed()["torch"], "threads": threads}


def kept(threads: int = 1) -> BreakEven | None:
    """Return the table that was measured here before; None where there is none that can be read."""
    try:
        told = json.loads(where(threads).read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.get("here") != _here(threads):
            return None
        table = BreakEven.from_dict(told["table"])
    except (OSError, ValueError, KeyError, RecursionError):  # PrunekitError is a ValueError
        return None
    return table if table.threads == threads else None


def break_even_here(
    threads: int = 1,
    *,
    again: bool = False,
    budget_s: float = BUDGET_S,
    progress: Progress = QUIET,
) -> BreakEven:
    """Return the break-even of sparse kernels on this machine, measured only where it is not known yet."""
    known = None if again else kept(threads)
    if known is not None:
        return known
    table = break_even(threads, budget_s, progress=progress)
    _keep(where(threads), {"here": _here(threads), "table": table.to_dict()})
    return table


def _keep(path: Path, values: dict[str, Any]) -> None:
    """Write a file as a whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
    except OSError:
        return
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(values, file)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
