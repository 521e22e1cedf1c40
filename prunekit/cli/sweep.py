"""``prunekit sweep``."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any

from prunekit.cli.arguments import absolute, data_of, guess_lines, guess_notes, kept_runs, model_of, progress_to, say, spec_of, to_json
from prunekit.cli.field_flags import recovery_of
from prunekit.cli.prune import setting_text
from prunekit.cli.tables import percent, quality_text, short, table
from prunekit.config.choices import SEEDED
from prunekit.errors import DataError, SpecError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.measure import chosen_split
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.max_sparsity_run import FurthestRequest, find_furthest
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sweep_run import measure_one, sweep_seeds
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tracking import Logged, tracked

COUNTED = ["parameters", "not zero", "MACs", "effective MACs"]


def sweep(args: argparse.Namespace) -> str:
    """Measure accuracy at several sparsities, as often as asked, or find the highest sparsity that holds."""
    model_id, model = model_of(args)
    if args.mode == "nm" or args.pattern is not None:
        raise SpecError("a pattern N:M has one sparsity, and a sweep needs several: use prunekit prune, or another mode")
    spec, recovery = spec_of(args, model, sparsity=0.0), recovery_of(args)
    data = data_of(args, model)
    if data is None:
        raise DataError(f"a sweep measures accuracy, and {model_id.name} names no data of its own: give --data")
    far = args.lose is not None or args.hold is not None
    split, notes = chosen_split(data, args.split)[1:] if far else (args.split or "test", ())
    request = SweepRequest(model_id, data.id, spec, recovery, split, args.images, args.sparsities, args.evaluations, args.over)
    setting = {key: value for key, value in request.spec.to_dict().items() if key not in ("sparsity", "threshold")}
    found: dict[str, Any] = {"model": model_id.to_dict(), "data": absolute(data), "spec": setting, "split": split}
    found |= {"images": args.images, "recovery": request.recovery.to_dict() if request.recovery.active else None}
    with tracked(args.log_to, f"sweep {model_id.name}", partial(say, "warning")) as logged:
        logged.params({name: value for name, value in found.items() if isinstance(value, dict)})
        if far:
            dense, answer = _furthest(request, args, model, data)
            for place, point in enumerate(answer["points"]):
                logged.metrics(point, place)
        else:
            sweeps = _repeated(request, args, model, data, logged)
    if far:
        found |= {**answer, **guess_notes(model, data, args.size, dense), "notes": list(notes) or _unconfirmed(answer, dense.units)}
        return to_json(found) if args.json else _far_page(found, request.recovery.title(), dense.units)
    found |= {"dense": sweeps[0][0].accuracy.to_dict(), "points": [point.to_dict() for point in _in_order(sweeps[0], args.sparsities)]}
    found |= guess_notes(model, data, args.size, sweeps[0][0].accuracy)
    if args.repeats > 1:
        found |= _spread(sweeps, args)
    return to_json(found) if args.json else _page(found, request.recovery.title(), sweeps[0][0].accuracy.units)


def _repeated(request: SweepRequest, args: argparse.Namespace, model: Any, data: Any, logged: Logged) -> list[list[SweepPoint]]:
    """Carry out the sweep with one seed after the other; later ones measure where the first one did."""
    if args.repeats < 1:
        raise SpecError(f"--repeats must be at least 1; got {args.repeats}")
    if args.repeats > 1 and request.spec.criterion not in SEEDED and not request.recovery.active:
        say("note", "nothing in this setting depends on the seed: all repeats come out the same")
    kept, places = None if args.no_store else kept_runs(), count()
    told: dict[str, Any] = {"report": lambda point: logged.metrics({"seed": point.seed, **point.figures()}, next(places))}
    if args.cluster is None:
        return sweep_seeds(request, args.repeats, kept, progress_to(sys.stderr), model=model, data=data, **told)
    with closing(Cluster(args.cluster)) as cluster:
        return sweep_seeds(request, args.repeats, kept, progress_to(sys.stderr), model=model, data=data, cluster=cluster, **told)


def _furthest(request: SweepRequest, args: argparse.Namespace, model: Any, data: Any) -> tuple[Evaluation, dict[str, Any]]:
    """Find the highest sparsity that holds, and confirm it on test data."""
    if args.repeats != 1:
        raise SpecError("--lose and --hold look for one answer with one seed: leave --repeats out")
    if args.cluster is not None:
        raise SpecError("--lose and --hold measure one point after the other, each where the last one says: leave --cluster out")
    kept, progress = None if args.no_store else kept_runs(), progress_to(sys.stderr)
    asked = AccuracyRequest(request.model, request.data, None, split=request.split, images=request.images)
    dense = measure_one(asked, kept, progress, model=model, data=data).accuracy
    allowed = args.lose
    if args.hold is not None:
        allowed = dense.metric.loss(dense.value, args.hold)
        if allowed < 0:
            raise SpecError(f"--hold {args.hold:g} asks for more than the dense model has, {dense.value:.6g}: ask for less")
    answer = find_furthest(FurthestRequest(request, allowed), kept, progress, model=model, data=data)
    points = [{"requested": at, dense.metric.name: quality.to_dict()} for at, quality in answer.found.points.items()]
    return dense, {"dense": dense.to_dict(), "allowed": allowed, "hold": args.hold, "points": points, **answer.to_dict()}


def _unconfirmed(answer: dict[str, Any], units: str) -> list[str]:
    """Return a sentence where the test samples chose, so that nothing confirms."""
    return [] if answer["test"] else [f"the test {units} chose, so that they cannot confirm it: leave --split out"]


def _in_order(points: Sequence[SweepPoint], sparsities: Sequence[float] | None) -> list[SweepPoint]:
    """Return the points in the order of asking, or by sparsity where they were chosen."""
    if sparsities is None:
        return sorted(points[1:], key=lambda point: point.requested)
    by_place = {point.requested: point for point in points}  # the dense model stands first: a point at 0 of its own replaces it
    return [by_place[float(sparsity)] for sparsity in sparsities]


def _spread(sweeps: list[list[SweepPoint]], args: argparse.Namespace) -> dict[str, Any]:
    """Return every repeat, and how far they lie apart at each sparsity."""
    asked = [_in_order(points, args.sparsities) for points in sweeps]
    repeats = [{"seed": args.seed + place, "points": [point.to_dict() for point in points]} for place, points in enumerate(asked)]
    rows = []
    for same in zip(*asked, strict=True):
        values = [point.accuracy.value for point in same]
        ends = {"mean": statistics.fmean(values), "min": min(values), "max": max(values), "sd": statistics.stdev(values)}
        rows.append({"requested": same[0].requested, **ends, "n_seeds": len(values)})
    return {"repeats": repeats, "spread": rows}


def _page(found: dict[str, Any], recovered: str, units: str) -> str:
    """Return the points as text."""
    lines = [f"{found['model']['name']}   {setting_text(found['spec'])}, {recovered or 'no recovery'}"]
    lines += [f"dense: {quality_text(found['dense'])} on {found['split']} {units}", ""]
    quality = found["dense"].get("metric", "accuracy")
    lines.append(table(["requested", "achieved", quality, *COUNTED], [_point(point, quality) for point in found["points"]]))
    if "spread" in found:
        header = ["requested", "mean", "lowest", "highest", "sd"]
        lines += [
            "",
            f"over {len(found['repeats'])} seeds",
            table(header, [_row(row, found["dense"].get("unit", PERCENT)) for row in found["spread"]]),
        ]
    return "\n".join([*lines, *guess_lines(found)])


def _far_page(found: dict[str, Any], recovered: str, units: str) -> str:
    """Return how far it goes as text."""
    quality = found["dense"].get("metric", "accuracy")
    rows = [(percent(point["requested"]), quality_text(point[quality])) for point in found["points"]]
    lines = [
        f"{found['model']['name']}   {setting_text(found['spec'])}, {recovered or 'no recovery'}",
        f"dense: {quality_text(found['dense'])} on {found['split']} {units}", "",
        table(["requested", quality], rows), "", found["sentence"],
    ]  # fmt: skip
    lines += [found["test"]["sentence"]] if found["test"] else []
    return "\n".join([*lines, f"run {found['run'][:12]}", *(f"! {note}" for note in found["notes"]), *guess_lines(found)])


def _point(point: dict[str, Any], quality: str) -> tuple[object, ...]:
    """Return one sparsity's row."""
    shares = (percent(point["requested"]), percent(point["sparsity"]), quality_text(point[quality]))
    return *shares, f"{point['params']:,}", f"{point['nonzero']:,}", short(point["macs"]), short(point["effective_macs"])


def _row(row: dict[str, Any], unit: str) -> tuple[object, ...]:
    """Return one sparsity's spread, in the unit of the quality."""
    metric = Metric("", "", lambda _: 0.0, unit)
    values = (row[key] for key in ("mean", "min", "max", "sd"))
    return percent(row["requested"]), *(percent(value) if unit == PERCENT else metric.format(value) for value in values)
