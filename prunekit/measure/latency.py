"""Latency of some models in turns, in one fresh child process."""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from prunekit.catalog.folder import write_folder
from prunekit.catalog.info import info
from prunekit.errors import LatencyError
from prunekit.measure.child import run_child
from prunekit.measure.forward import Progress, check_cancel
from prunekit.measure.ratios import Ratio, ratio
from prunekit.spec import PruneSpec, Recipe

# one measurement at a time in this process: two would slow each other down and both be wrong
TURN = threading.Lock()
MOST_CANDIDATES = 8


@dataclass(frozen=True)
class Candidate:
    """A model to time.

    Attributes
    ----------
    name : str
        As it is to be called in the report.
    model : nn.Module
        Loaded with :func:`prunekit.load_model`, or made by pruning such a model.
    macs : float, optional
        Multiply-accumulates that count for it, for the ratio that theory gives.
    """

    name: str
    model: nn.Module = field(repr=False)
    macs: float | None = None


@dataclass(frozen=True)
class CandidateLatency:
    """What was measured of one candidate.

    Attributes
    ----------
    name : str
        Of the candidate.
    samples_ms : tuple of float
        Time of one forward pass in each round, in milliseconds; all samples, none left out.
    median_ms, q1_ms, q3_ms : float
        Median and quartiles of the samples.
    ratio : Ratio
        Its time by the baseline's: below 1 is faster. Exactly 1 for the baseline itself.
    macs_ratio : float or None
        Its MACs by the baseline's: theory, to stand beside the measurement, not for it.
    repetitions : int
        Forward passes in each sample.
    """

    name: str
    samples_ms: tuple[float, ...] = field(repr=False)
    median_ms: float
    q1_ms: float
    q3_ms: float
    ratio: Ratio
    macs_ratio: float | None
    repetitions: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        times = {"median_ms": self.median_ms, "q1_ms": self.q1_ms, "q3_ms": self.q3_ms, "samples": len(self.samples_ms)}
        verdict = {"ratio": self.ratio.to_dict(), "different": self.ratio.different, "macs_ratio": self.macs_ratio}
        return {"name": self.name, **times, **verdict, "samples_ms": list(self.samples_ms)}


@dataclass(frozen=True)
class LatencyReport:
    """One measurement.

    Attributes
    ----------
    candidates : tuple of CandidateLatency
        The baseline first.
    input_shape : tuple of int
        Of one sample.
    batch, threads, rounds : int
        Samples at a time, threads of torch, rounds in which every candidate had its turn.
    stopped : str
        Why it stopped: ``narrow enough`` (every ratio is known to half a percent) or ``time budget``.
    runtime : str
        What ran the models.
    orders : tuple of tuple of int
        The order of the turns in each round.
    """

    candidates: tuple[CandidateLatency, ...]
    input_shape: tuple[int, ...]
    batch: int
    threads: int
    rounds: int
    stopped: str
    runtime: str
    orders: tuple[tuple[int, ...], ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        setting = {"input_shape": list(self.input_shape), "batch": self.batch, "threads": self.threads, "rounds": self.rounds}
        return {"candidates": [c.to_dict() for c in self.candidates], **setting, "stopped": self.stopped, "runtime": self.runtime}

    def to_frame(self) -> pd.DataFrame:
        """Return every sample: columns ``candidate``, ``round``, ``ms``."""
        rows = [(c.name, i, ms) for c in self.candidates for i, ms in enumerate(c.samples_ms)]
        return pd.DataFrame(rows, columns=["candidate", "round", "ms"])


def latency(
    candidates: Sequence[Candidate],
    *,
    input_shape: Sequence[int],
    batch: int = 1,
    threads: int = 1,
    budget_s: float = 10.0,
    min_rounds: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> LatencyReport:
    """Time some models in turns, round by round, in one fresh child process.

    Eager mode, float32, inference mode, on the CPU; random input. After warm-up every candidate gives one sample in each round, in an order
    that is shuffled for each round; a sample is as many forward passes as last 2 ms. It stops when every ratio is known to half a percent,
    or when the budget is spent. Measurements in one process wait for each other.

    Parameters
    ----------
    candidates : sequence of Candidate
        The baseline first.
    input_shape : sequence of int
        Shape of one sample.
    batch : int
        Samples at a time.
    threads : int
        Threads of torch, at most the cores of this machine.
    budget_s : float
        Seconds for warm-up and rounds; only ``min_rounds`` may take longer. Starting the process takes some seconds more.
    min_rounds : int
        Rounds in any case.
    seed : int
        Of the input and the orders.
    progress : callable, optional
        Called as ``progress(fraction, text)``.
    cancel : threading.Event, optional
        Kills the child process.

    Returns
    -------
    LatencyReport
        All samples, medians, quartiles and ratios with intervals.

    Raises
    ------
    LatencyError
        If a setting is not valid, a model was not loaded through the catalog, or the child process fails.
    Cancelled
        If ``cancel`` was set.
    """
    _check(candidates, batch, threads, budget_s, min_rounds)
    with tempfile.TemporaryDirectory(prefix="prunekit-latency-") as private:
        folders = _pack(candidates, Path(private))
        request = {"names": [c.name for c in candidates], "folders": folders, "input_shape": list(input_shape), "batch": batch}
        request |= {"threads": threads, "budget_s": budget_s, "min_rounds": min_rounds, "seed": seed}
        path = Path(private) / "request.json"
        path.write_text(json.dumps(request))
        with _my_turn(progress, cancel):
            result = run_child(path, threads, progress=progress, cancel=cancel)
    return _report(candidates, tuple(input_shape), batch, threads, result)


def _pack(candidates: Sequence[Candidate], private: Path) -> list[str]:
    """Write each candidate to a folder of its own, from which the child builds it again.

    A pruned copy is built like the baseline: its class is the baseline's, its widths and weights are its own.
    """
    base = info(candidates[0].model).id
    folders = []
    for index, candidate in enumerate(candidates):
        of_baseline = base if type(candidate.model) is type(candidates[0].model) else None
        known = info(candidate.model).id or of_baseline
        if known is None:
            raise LatencyError(
                f"{candidate.name} cannot be built again in the timing process: load it with prunekit.load_model, then prune it"
            )
        recipe = Recipe(known.to_dict(), None, PruneSpec())
        folders.append(str(write_folder(private / str(index), candidate.model, recipe)))
    return folders


def _check(candidates: Sequence[Candidate], batch: int, threads: int, budget_s: float, min_rounds: int) -> None:
    """Raise unless the settings make sense."""
    names = [c.name for c in candidates]
    if not 1 <= len(names) <= MOST_CANDIDATES or len(set(names)) != len(names):
        raise LatencyError(f"give 1 to {MOST_CANDIDATES} candidates, each with a name of its own; got {', '.join(names) or 'none'}")
    cores = os.cpu_count() or 1
    for name, value, most in (("batch", batch, 4096), ("threads", threads, cores), ("min_rounds", min_rounds, 1000)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise LatencyError(f"{name} must be a whole number from 1 to {most}; got {value!r}")
    if not math.isfinite(budget_s) or not 0 < budget_s <= 3600:
        raise LatencyError(f"the time budget must be above 0 and at most 3600 seconds; got {budget_s!r}")


@contextmanager
def _my_turn(progress: Progress | None, cancel: threading.Event | None) -> Iterator[None]:
    """Wait until no other measurement runs in this process."""
    while not TURN.acquire(timeout=0.1):
        check_cancel(cancel)
        if progress is not None:
            progress(0.0, "waiting for another latency measurement")
    try:
        if progress is not None:
            progress(0.0, "starting a process of its own")
        yield
    finally:
        TURN.release()


def _report(candidates: Sequence[Candidate], shape: tuple[int, ...], batch: int, threads: int, result: dict[str, Any]) -> LatencyReport:
    """Turn the child's samples into a report."""
    samples = [np.asarray(seconds) * 1000 for seconds in result["seconds"]]
    base = candidates[0].macs
    measured = []
    for candidate, ms, repetitions in zip(candidates, samples, result["repetitions"], strict=True):
        q1, median, q3 = (float(q) for q in np.quantile(ms, [0.25, 0.5, 0.75]))
        macs = candidate.macs / base if candidate.macs is not None and base else None
        measured.append(CandidateLatency(candidate.name, tuple(ms.tolist()), median, q1, q3, ratio(ms, samples[0]), macs, repetitions))
    orders = tuple(tuple(order) for order in result["orders"])
    runtime = f"torch {torch.__version__}, eager, float32, CPU"
    return LatencyReport(tuple(measured), shape, batch, threads, len(orders), result["stopped"], runtime, orders)
