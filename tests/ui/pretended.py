"""What the child that times models would say, without its time budget: real rows, invented samples."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prunekit.errors import PrunekitError
from prunekit.latency import diagnosis
from prunekit.latency.worker_payload import Request, Row
from prunekit.runtimes.backends import RUNTIMES
from tests.latency.diagnosis import drawn

MS = {"dense": 2.0, "masked": 2.0, "smaller": 1.0}
ELSEWHERE = {"dense": 0.4, "masked": 0.4, "smaller": 0.42}
"""Milliseconds of a pass in eager mode and in every other runtime: there all is faster, and the smaller model slower than the dense one."""
ASKED = inspect.signature(diagnosis.diagnose)
SPREAD = np.linspace(0.98, 1.02, 11)
SEEN = {"peak_bytes": 2000, "file_bytes": 1000, "compile_s": None, "notes": [], "check": None}


def run_child(path: Path, _threads: int, *, progress: Callable[[float, str], None] | None = None, **_: Any) -> dict[str, Any]:
    """Stand in for :func:`prunekit.latency.worker.run_child`: the smaller model takes half as long, zeros change nothing."""
    request, rng = Request.read(path), np.random.default_rng(0)
    if progress is not None:
        progress(0.5, "pretending")
    trials = {row.key: _trial(request, row) for row in request.rows()}
    turns = []
    for group in dict.fromkeys((row.batch, row.length, row.phase) for row in request.rows()):
        rows = [row for row in request.rows() if (row.batch, row.length, row.phase) == group and "error" not in trials[row.key]]
        seconds = [list(_ms(request, row) / 1000 * rng.permutation(SPREAD)) for row in rows]
        turn = {
            **dict(zip(("batch", "length", "phase"), group, strict=True)),
            "rows": [row.key for row in rows],
            "energy_j": [None] * len(rows),
            "seconds": seconds,
        }
        turns.append(turn | {"orders": [list(range(len(rows)))] * len(SPREAD), "repetitions": [1] * len(rows), "stopped": "time budget"})
    return {"trials": trials, "turns": turns, "energy": "not here"}


def _ms(request: Request, row: Row) -> float:
    """Return how long a pass takes."""
    return (MS if row.runtime == "eager" else ELSEWHERE)[request.names[row.candidate]]


def _trial(request: Request, row: Row) -> dict[str, Any]:
    """Open a row where that costs nothing: what cannot run sparse says so itself."""
    try:
        if row.runtime == "csr":
            RUNTIMES["csr"].open(request.files(row.candidate), threads=request.threads, device=request.device)
    except PrunekitError as error:
        return {"error": str(error)}
    return dict(SEEN)


def diagnose(*args: Any, **asked: Any) -> diagnosis.Diagnosis:
    """Stand in for :func:`prunekit.latency.diagnosis.diagnose`: zeros everywhere, shapes and times as before."""
    ASKED.bind(*args, **asked)
    evidence = drawn.masked(3)
    found = diagnosis.explain(evidence)
    return diagnosis.Diagnosis(diagnosis.verdict(evidence), found, evidence, None)  # type: ignore[arg-type]
