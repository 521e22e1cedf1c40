"""Latencies kept, each with the run that was timed, and the break-even of sparse kernels on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.evaluation.before_after import Assessment
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import home
from prunekit.experiments.identity import data_hash, digest, installed, measurement_id, this_machine
from prunekit.experiments.records import Measurement
from prunekit.experiments.save_run import keep_made
from prunekit.experiments.sources import how
from prunekit.experiments.store import RunStore
from prunekit.latency.diagnosis.breakeven import BUDGET_S, BreakEven, Grid, break_even
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.models.drafts import write_file
from prunekit.pruning.result import PruneResult
from prunekit.runtimes.backends import RUNTIMES
from prunekit.training.result import Recovered

FOLDER = "breakeven"


def where(threads: int = 1, grid: Grid | None = None) -> Path:
    """Return the file of this machine's table: another processor, torch, number of threads or other layers have another one."""
    return home() / FOLDER / f"{digest(_here(threads, grid))[:16]}.json"


def _here(threads: int, grid: Grid | None) -> dict[str, Any]:
    """Return all that the numbers depend on."""
    here = {"machine": dict(this_machine()), "torch": installed()["torch"], "threads": threads}
    return here if grid is None else {**here, "grid": json.loads(json.dumps(asdict(grid)))}


def kept(threads: int = 1, grid: Grid | None = None) -> BreakEven | None:
    """Return the table that was measured here before; None where there is none that can be read."""
    try:
        told = json.loads(where(threads, grid).read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.get("here") != _here(threads, grid):
            return None
        table = BreakEven.from_dict(told["table"])
    except (OSError, ValueError, KeyError, RecursionError):  # PrunekitError is a ValueError
        return None
    return table if table.threads == threads else None


def break_even_here(
    threads: int = 1,
    grid: Grid | None = None,
    *,
    again: bool = False,
    budget_s: float = BUDGET_S,
    progress: Progress = QUIET,
) -> BreakEven:
    """Return the break-even of sparse kernels on this machine, of usual layers or of a model's own, measured only where it is not known."""
    known = None if again else kept(threads, grid)
    if known is not None:
        return known
    own: dict[str, Any] = (
        {} if grid is None else {"sizes": grid.sizes, "batches": grid.rows, "densities": grid.densities, "against": grid.against}
    )
    table = break_even(threads, budget_s, **own, progress=progress)
    with suppress(OSError):
        write_file(where(threads, grid), json.dumps({"here": _here(threads, grid), "table": table.to_dict()}).encode())
    return table


WHAT = "latency"


@dataclass(frozen=True, eq=False)
class Timed:
    """A candidate that can be kept as a run, should its timing succeed."""

    result: PruneResult  # what pruning made
    found: Assessment  # its counts and sizes beside those of the dense model


def keep_timed(
    report: LatencyReport,
    model_id: ModelId,
    model: nn.Module,
    timed: Mapping[str, Timed],
    keeper: Keeper,
    *,
    runs: Mapping[str, str] | None = None,
    data: Any = None,
    data_id: DataId | None = None,
) -> dict[str, str]:
    """Keep what was timed beside a dense model: the models as runs, where they are none yet, their latencies, and their qualities.

    ``timed`` says by a candidate's name how it was pruned, ``runs`` which are runs already; qualities are of test samples of ``data``.
    Returned is the id of each candidate's run by name; empty where nothing could be kept.
    """

    def keep(store: RunStore) -> dict[str, str]:
        found = dict(runs or {})
        for name, each in timed.items():
            made = Recovered(each.result, Recovery())
            run = keep_made(model_id, model, made, each.found, store, data_id=data_id, data=data)
            found |= {name: run.id, report.candidates[0].name: str(run.parent)}
        keep_latency(report, found, store)
        if data is not None and data_id is not None:
            _keep_qualities(report, found, store, data, data_id)
        return found

    return keeper.ask(keep) or {}


def keep_latency(report: LatencyReport, runs: Mapping[str, str], store: RunStore) -> list[Measurement]:
    """Keep what was timed; measured again on this machine in the same way, it replaces the earlier figures.

    ``runs``: candidate's name -> id of its run, which is in the store. Candidates that are no runs are left out. ``what`` is ``"latency"``;
    ``value`` holds the row as :meth:`prunekit.latency.CandidateLatency.to_dict` gives it, without the samples, and ``device``,
    ``input_shape`` and ``baseline`` (``name``, ``run`` or None, ``runtime``), which the ratio is told against.
    """
    kept = [_measurement(report, row, runs) for row in report.candidates if row.error is None and row.name in runs]
    for seen in kept:
        store.put_measurement(seen)
    return kept


def _keep_qualities(report: LatencyReport, runs: Mapping[str, str], store: RunStore, data: Any, data_id: DataId) -> None:
    """Keep the qualities in float32, as whoever measures nothing else keeps them; one that is known already stays."""
    hashed = data_hash(data.test)
    for row in report.candidates:
        run = store.get_run(runs[row.name]) if row.name in runs and RUNTIMES[row.runtime].precision == "float32" else None
        if run is None or row.accuracy is None:
            continue
        versions = how(run)["versions"]
        if store.quality(run.id, hashed, "test", row.accuracy.n, versions, row.accuracy.metric.name) is None:
            store.put_measurement(Measurement.of(run.id, row.accuracy, data_id.to_dict(), hashed, "test", versions=versions))


def _measurement(report: LatencyReport, row: CandidateLatency, runs: Mapping[str, str]) -> Measurement:
    """Return a row as a measurement: called by run, runtime, batch, threads, device, sample, machine and versions."""
    base = report.baseline(*row.group)
    value = {name: told for name, told in row.to_dict().items() if name not in ("samples_ms", "name")}
    setting = {"batch": row.batch, "threads": row.threads, "device": report.device, "input_shape": list(report.input_shape)}
    setting |= {"length": row.length, "phase": row.phase} if row.length else {}
    value |= setting | {"baseline": {"name": base.name, "run": runs.get(base.name), "runtime": base.runtime}}
    versions = {**installed(), "runtime": report.versions[row.runtime]}
    hashed, run = digest(setting), runs[row.name]
    name = measurement_id(run, hashed, "", row.batch, what=WHAT, runtime=row.runtime, versions=versions)
    return Measurement(name, run, {}, hashed, "", row.batch, value, None, WHAT, row.runtime, versions=versions)
