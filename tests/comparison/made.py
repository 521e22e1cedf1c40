"""Runs, stores and columns made by hand: what is compared, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunekit.comparison.columns import Column, Shipped, Speed
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import accuracy_of
from prunekit.experiments.identity import run_id, this_machine
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.store import RunStore

WEIGHTS = "ab" * 32
MODEL = {"name": "digits_mlp", "weights": None, "pretrained": False}
DIGITS = {"name": "digits", "limit": None, "size": None, "mean": None, "std": None}
COUNTS = {"params": 100, "nonzero": 100, "macs": 1000, "effective_macs": 1000, "sparsity": 0.0, "prunable": 80, "achieved": 0.0}


def dense(**info: Any) -> Run:
    return Run(run_id(WEIGHTS, None, None), "dense", "digits_mlp", MODEL, WEIGHTS, info={**COUNTS, **info})


def pruned(spec: PruneSpec, recovery: Recovery | None = None, trained_on: str = "", kind: str = "", **info: Any) -> Run:
    recovery = recovery or Recovery()
    name = run_id(WEIGHTS, spec, recovery, trained_on)
    kind = kind or ("recovered" if recovery.active else "pruned")
    plain = recovery.to_dict() if recovery.active else None
    return Run(name, kind, f"run {name[:6]}", MODEL, WEIGHTS, spec.to_dict(), plain, trained_on, dense().id, info={**COUNTS, **info})


def at(*sparsities: float, **info: Any) -> list[Run]:
    return [pruned(PruneSpec(sparsity=sparsity), **info) for sparsity in sparsities]


def store_of(folder: Path, *runs: Run) -> RunStore:
    store = RunStore(folder / "runs.sqlite")
    for run in (dense(), *runs):
        store.put_run(run)
    return store


def seen(run: Run, correct: Any, data_hash: str = "h", split: str = "test", data: dict[str, Any] | None = None) -> Measurement:
    accuracy = accuracy_of(np.asarray(correct, dtype=bool))
    return Measurement.of(run.id, accuracy, data or DIGITS, data_hash, split)


def timed(
    run: Run, ratio: float, base: Run, *, runtime: str = "eager", base_runtime: str = "eager", name: str = "", **more: Any
) -> Measurement:
    machine = more.pop("machine", dict(this_machine()))
    created = more.pop("created", "2026-01-01T00:00:00+00:00")
    value = {
        "runtime": runtime, "batch": 1, "threads": 1, "device": "cpu", "input_shape": [1, 8, 8], "median_ms": ratio, "different": True,
        "ratio": {"value": ratio, "low": ratio * 0.98, "high": ratio * 1.02},
        "baseline": {"name": "dense", "run": base.id, "runtime": base_runtime}, **more,
    }  # fmt: skip
    made = name or f"{run.id}{value}"
    return Measurement(made, run.id, {}, "", "", 0, value, what="latency", runtime=runtime, machine=machine, created=created)


def column(letter: str, correct: Any, base: Any = None, size: int | None = None, ratio: float | None = None, **more: Any) -> Column:
    """One column by hand; ``base`` is what the dense model got right."""
    accuracy = None if correct is None else accuracy_of(np.asarray(correct, dtype=bool))
    difference = None if accuracy is None or base is None else compare(accuracy_of(np.asarray(base, dtype=bool)), accuracy)
    speed = None if ratio is None else Speed(ratio, ratio * 0.99, ratio * 1.01, abs(ratio - 1) > 0.02, "eager", 1, 1, "cpu")
    shipped = None if size is None else Shipped(size, "best sparse format")
    return Column(dense(), letter, letter, accuracy, difference, shipped=shipped, speed=speed, **more)
