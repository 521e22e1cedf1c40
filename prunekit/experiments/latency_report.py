"""A whole measurement of latency as it lies in the store: every sample of every row, what failed, and what was timed; and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np

from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import Sizes
from prunekit.experiments.identity import installed, measurement_id, this_machine
from prunekit.experiments.records import Measurement, now
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import described, is_packed, opened, pack
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency, LatencyReport, Turns
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import Check

WHAT = "latency report"
PARTS = {"ratio": Ratio, "within": Ratio, "check": Check}


@dataclass(frozen=True)
class LatencyMeasurement:
    """What was measured beside a dense model: the report, and by name the sizes of each model, the share that went of it and its setting.

    ``created``: time, UTC; ``machine``: its processor, and how many cores it had.
    """

    report: LatencyReport
    sizes: dict[str, Sizes]
    achieved: dict[str, float]
    specs: dict[str, PruneSpec]
    created: str = field(default_factory=now)
    machine: dict[str, Any] = field(default_factory=lambda: {**this_machine(), "cores": os.cpu_count() or 1})


def put_report(found: LatencyMeasurement, dense: str, asked: str, store: RunStore) -> None:
    """Keep a measurement beside the dense model's run; measured again it replaces the earlier one.

    ``asked``: hash of what was asked for.
    """
    versions, rows = _versions(found.report.versions), found.report.candidates
    judged = list({id(row.accuracy): row.accuracy for row in rows if row.accuracy is not None}.values())
    value = {
        "rows": [_plain(row, judged) for row in rows],
        "turns": [{name: each for name, each in asdict(turn).items() if name != "orders"} for turn in found.report.turns],
        "input_shape": list(found.report.input_shape),
        **{name: getattr(found.report, name) for name in ("device", "versions", "energy", "checked_on")},
        "qualities": [_quality(each) for each in judged],
        "sizes": {name: asdict(each) for name, each in found.sizes.items()},
        "achieved": found.achieved,
        "specs": {name: spec.to_dict() for name, spec in found.specs.items()},
        "machine": found.machine,
    }
    arrays: dict[str, Any] = {f"seen_{place}": np.frombuffer(pack(each), dtype=np.uint8) for place, each in enumerate(judged)}
    payload = BytesIO()
    np.savez_compressed(payload, samples=np.concatenate([row.samples_ms for row in rows]), **arrays)
    name = measurement_id(dense, asked, "", 0, what=WHAT, versions=versions)
    row = Measurement(name, dense, {}, asked, "", 0, value, payload.getvalue(), WHAT, versions=versions, created=found.created)
    store.put_measurement(row)


def report_of(dense: str, asked: str, runtimes: tuple[str, ...], store: RunStore) -> LatencyMeasurement | None:
    """Return what was measured on this machine with the installed packages; None where nothing was, or it cannot be read."""
    versions = _versions({name: RUNTIMES[name].version() for name in runtimes})
    row = store.measurement(measurement_id(dense, asked, "", 0, what=WHAT, versions=versions))
    try:
        return None if row is None or row.earlier else _opened(row)
    except (PrunekitError, ValueError, KeyError, TypeError, OSError, BadZipFile):
        return None


def _versions(of_runtimes: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of all that the times depend on."""
    return {**installed(), **{f"runtime {name}": told for name, told in of_runtimes.items()}}


def _plain(row: CandidateLatency, judged: list[Evaluation]) -> dict[str, Any]:
    """Return a row as plain values: of its samples how many there are, of its quality which one it is."""
    found = {each.name: getattr(row, each.name) for each in fields(row) if each.name not in ("samples_ms", "accuracy", *PARTS)}
    found |= {name: None if getattr(row, name) is None else asdict(getattr(row, name)) for name in PARTS}
    place = next((place for place, each in enumerate(judged) if each is row.accuracy), None)
    return found | {"samples": len(row.samples_ms), "quality": place}


def _quality(found: Evaluation) -> dict[str, Any]:
    """Return a quality as plain values, without what was seen of each sample."""
    value = {**found.to_dict(), "chance": found.chance, "guesses": list(found.guesses)}
    return {"value": value, "metric": described(found.metric, found.task, is_packed(found))}


def _opened(row: Measurement) -> LatencyMeasurement:
    """Return what was kept."""
    told: dict[str, Any] = dict(row.value)
    with np.load(BytesIO(row.observations or b""), allow_pickle=False) as arrays:
        seen = [arrays[f"seen_{place}"].tobytes() for place in range(len(told["qualities"]))]
        samples = iter(arrays["samples"].tolist())
    judged = [opened(q["metric"], q["value"], data, int(q["value"]["n"])) for q, data in zip(told["qualities"], seen, strict=True)]
    rows = []
    for each in told["rows"]:
        ms, quality = tuple(next(samples) for _ in range(each.pop("samples"))), each.pop("quality")
        parts: dict[str, Any] = {name: found and kind(**found) for name, kind in PARTS.items() for found in [each.pop(name)]}
        own: dict[str, Any] = {
            "samples_ms": ms,
            "notes": tuple(each.pop("notes")),
            "accuracy": None if quality is None else judged[quality],
        }
        rows.append(CandidateLatency(**each, **parts, **own))
    turns = tuple(Turns(**turn) for turn in told["turns"])
    how = {name: told[name] for name in ("device", "versions", "energy", "checked_on")}
    report = LatencyReport(tuple(rows), tuple(told["input_shape"]), turns=turns, **how)
    sizes = {name: Sizes(**each) for name, each in told["sizes"].items()}
    specs = {name: PruneSpec.from_dict(each) for name, each in told["specs"].items()}
    return LatencyMeasurement(report, sizes, told["achieved"], specs, row.created, told["machine"])
