"""``prunekit latency``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from torch import nn

from prunekit.cli.arguments import data_of, guess_lines, guess_notes, model_of, progress_to, say, shape_of, spec_of, to_json
from prunekit.cli.field_flags import given
from prunekit.cli.tables import byte_text, percent, table
from prunekit.config.field_table import TimingFields
from prunekit.config.fields import table as rows
from prunekit.config.ids import ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import DataError, PrunekitError, StoreError
from prunekit.evaluation.before_after import assess
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import store
from prunekit.experiments.latency_run import Timed, keep_timed
from prunekit.formatting import milliseconds, ordinary, ratio_span, times
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate, CandidateLatency, LatencyReport
from prunekit.models.cost import count
from prunekit.models.info import info
from prunekit.pruning.api import prune as prune_model
from prunekit.pruning.counterpart import counterpart
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.grouping import trace
from prunekit.runtimes.backends import RUNTIMES

NAMES = {"unstructured": "masked", "nm": "masked N:M", "structured": "smaller"}
COLUMNS = "model, runtime, median ms, quartiles, {}/s, times as fast (95 %), in its runtime (95 %), by MACs, memory, {}"


def latency(args: argparse.Namespace) -> str:
    """Time the dense, the masked and the smaller model in turns, in each runtime."""
    if args.cluster is not None:
        raise PrunekitError(
            "latency is never measured on a cluster: only times of one machine, taken in turns and alone, can be compared. Leave it out"
        )
    model_id, model = model_of(args)
    specs = _specs(args, model)
    data = data_of(args, model) if _needs_data(args, specs) or (info(model).guessed and args.size is None) else None
    if args.accuracy and data is None:
        raise DataError(f"--accuracy needs test samples, and {model_id.name} names no data of its own: give --data")
    shape = shape_of(model, data, args.size)
    if len(specs) > 1 and (args.override or args.cap or args.layers):
        found = counterpart(model, specs[0], specs[1], trace(model, shape))
        specs = [specs[0], found.spec]
        for note in found.notes:
            print(f"prunekit: note: the smaller model: {note}", file=sys.stderr)
    made = {_name(spec): prune_model(model, spec, data if spec.looks_at_data else None, input_shape=shape) for spec in specs}
    candidates = [Candidate("dense", model, count(model, shape).macs)]
    # theory counts the MACs of non-zero weights alone
    candidates += [Candidate(name, result.model, result.after.effective_macs) for name, result in made.items()]
    judged = None
    if args.accuracy and data is not None:
        judged = data.test.subset(args.images) if args.images else data.test
    how = {name: value for name, value in given(args, TimingFields).items() if name != "budget"}
    setting = {**how, "data": data, "accuracy_on": judged, "budget_s": args.budget, "seed": args.seed}
    report = measure_latency(candidates, input_shape=shape, **setting, progress=progress_to(sys.stderr))
    runs = _kept(report, model_id, model, made, data)
    head = {"model": model_id.to_dict(), "specs": [spec.to_dict() for spec in specs], "budget_s": args.budget, "runs": runs}
    accuracies = [row.accuracy for row in report.candidates if row.name == "dense" and row.accuracy is not None]
    notes = guess_notes(model, data, args.size, accuracies[0] if accuracies else None)
    return to_json({**head, **report.to_dict(), **notes}) if args.json else "\n".join([_page(model_id.name, report), *guess_lines(notes)])


def _needs_data(args: argparse.Namespace, specs: list[PruneSpec]) -> bool:
    """Return whether images are looked at; noise will do for comparing the outputs of runtimes in float32."""
    files = {RUNTIMES[name].file for name in args.runtime if name in RUNTIMES}
    return bool(args.accuracy or args.data or "int8" in files or any(spec.looks_at_data for spec in specs))


def _specs(args: argparse.Namespace, model: nn.Module) -> list[PruneSpec]:
    """Return the setting of each candidate; of two the first tells the shares of single layers."""
    if args.mode != "both":
        free = {"sparsity": None} if args.mode == "nm" else {}
        return [spec_of(args, model, mode=args.mode, **free)]
    masked = spec_of(args, model, mode="unstructured", **_foreign("unstructured"))
    return [masked, spec_of(args, model, mode="structured", **{**_foreign("structured"), "layers": None})]


def _foreign(mode: str) -> dict[str, Any]:
    """Return the default of each field that belongs to other modes: its flag is meant for the other candidate."""
    by_mode = {name: row for name, row in rows(PruneSpec).items() if row.when}
    return {name: row.default for name, row in by_mode.items() if not any(mode in (each.get("mode") or (mode,)) for each in row.when)}


def _name(spec: PruneSpec) -> str:
    """Return what a candidate is called."""
    if spec.sparsity is None:
        return f"masked {spec.pattern}"
    rows = f"{percent(spec.rows, 0)} of rows" if spec.rows else "rows of tables" if spec.cuts_rows else ""
    share = percent(spec.sparsity, 0) if spec.sparsity or not rows else ""
    return f"{NAMES[spec.mode]} at {' and '.join(filter(None, (share, rows)))}"


def _kept(report: LatencyReport, model_id: ModelId, model: nn.Module, made: dict[str, PruneResult], data: Data | None) -> dict[str, str]:
    """Keep what was timed, and return the runs by name; what cannot be kept is said and costs nothing else."""
    try:
        keeper = Keeper(store(), progress_to(sys.stderr))
    except StoreError as error:
        say("warning", str(error))
        return {}
    timed = {name: Timed(result, assess(model, result, gzip=False)) for name, result in made.items()}
    return keep_timed(report, model_id, model, timed, keeper, data=data, data_id=None if data is None else data.id)


def _page(name: str, report: LatencyReport) -> str:
    """Return everything as text."""
    parts = [f"{name}   {report.device}, {', '.join(dict.fromkeys(report.versions.values()))}"]
    for group in report.groups:
        rows = report.rows(*group)
        quality = next((row.accuracy.metric.phrase for row in rows if row.accuracy), "accuracy")
        header = [*COLUMNS.format(rows[0].units, quality).split(", "), ""]
        parts.append(f"{group.where}, {group.threads} thread(s)\n{table(header, [_cells(row, rows[0]) for row in rows])}")
        turn = next((turn for turn in report.turns if turn.group == group), None)
        if turn is not None:
            parts.append(
                f"{turn.rounds} rounds in turns; stopped: {turn.stopped}. Times as fast as {rows[0].title}, and as {rows[0].name} in the "
                "same runtime; by MACs of non-zero weights is theory."
            )
        parts.append("\n".join(f"{said}." for said in report.within_runtimes(*group)))
    notes = [f"! {row.title}{_of(row)}: {note}" for row in report.candidates for note in (*row.notes, *([row.error] if row.error else []))]
    notes.append(f"outputs compared with eager mode on {report.checked_on}" + (f"; energy: {report.energy}" if report.energy else ""))
    return "\n\n".join([*filter(None, parts), "\n".join(dict.fromkeys(notes))])


def _cells(row: CandidateLatency, base: CandidateLatency) -> tuple[Any, ...]:
    """Return one row of the table."""
    runtime = RUNTIMES[row.runtime].title
    theory = None if not row.macs_ratio else times(1 / row.macs_ratio)
    if row.error is not None:
        return (row.name, runtime, None, None, None, None, None, theory, None, None, "not measured")
    told = "baseline" if row is base else "" if row.ratio is None else "no difference" if not row.ratio.different else _direction(row.ratio)
    accuracy = None if row.accuracy is None else ordinary(row.accuracy.text())
    assert row.throughput is not None and row.median_ms is not None and row.q1_ms is not None and row.q3_ms is not None
    spread = (milliseconds(row.median_ms), f"{milliseconds(row.q1_ms)} to {milliseconds(row.q3_ms)}")
    return (
        row.name,
        runtime,
        *spread,
        f"{row.throughput:,.0f}",
        _speed(row.ratio),
        _speed(row.within),
        theory,
        byte_text(row.peak_bytes),
        accuracy,
        told,
    )


def _of(row: CandidateLatency) -> str:
    """Return which phase a row is of, where there are several."""
    return f", {row.group.title}" if row.length else ""


def _direction(found: Ratio) -> str:
    """Return which way two times differ."""
    return "faster" if found.speed[0] > 1 else "slower"


def _speed(found: Ratio | None) -> str | None:
    """Return how many times as fast, with its interval."""
    if found is None:
        return None
    value, low, high = found.speed
    return f"{times(value)} ({ratio_span(low, high)})"
