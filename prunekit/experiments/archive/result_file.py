"""``result.json``: what is known of a run, as plain values in the same order each time, and what a stranger's says was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prunekit.experiments.archive.gathering import Pixels
from prunekit.experiments.archive.manifest import RESULT, ArchiveError, Manifest
from prunekit.experiments.load_run import Opened
from prunekit.experiments.records import LONGEST_NAME, QUALITY, Measurement, Run
from prunekit.experiments.run_structure import layers_of
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.folder import is_folder, read_result

MOST_ROWS, MOST_TEXT = 64, 200
COUNTS = ("params", "nonzero", "macs", "effective_macs", "sparsity", "achieved", "bytes")
SIZES = ("dense", "gzip", "sparse", "surgery", "gzip_low", "gzip_high")
NAMED = ("metric", "title", "unit", "better")
SEEN = ("what", "split", "runtime", "created")
VALUES = ("value", "low", "high", "n", "median_ms", "q1_ms", "q3_ms", "batch", "threads")


def result_in(folder: Path) -> dict[str, Any]:
    """Return the ``result.json`` of an unpacked archive."""
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ArchiveError(f"{RESULT} in the archive is not valid JSON: it was changed and is not taken in")
    return told


def figures_of(result: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return the figures in a result: known names, finite numbers and short texts, nothing else.

    ``run``, ``kind`` (what it was where it was measured), ``counts``, ``sizes`` and ``measurements``.
    """
    run = _mapping(result.get("run"))
    info = _mapping(run.get("info"))
    rows = result.get("measurements")
    return {
        "run": manifest.run,
        "kind": manifest.kind[:MOST_TEXT],
        "counts": _figures(info, COUNTS),
        "sizes": _figures(_mapping(info.get("sizes")), SIZES),
        "measurements": [_row(row) for row in rows[:MOST_ROWS] if isinstance(row, dict)] if isinstance(rows, list) else [],
    }


def name_in(result: Mapping[str, Any]) -> str:
    """Return the name that a run had where it was exported, if that is one: a short line."""
    name = _mapping(result.get("run")).get("name")
    return " ".join(name.split()) if isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_NAME else ""


def stated_in(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the quality that a result states, on the most test images: ``value`` (with ``n``) and ``data``; None where it has none."""
    rows = result.get("measurements")
    found = []
    for row in rows if isinstance(rows, list) else ():
        value = _mapping(_mapping(row).get("value"))
        good = all(_number(value.get(name)) for name in ("value", "n")) and isinstance(_mapping(row).get("data"), dict)
        sound = "metric" not in value or all(isinstance(value.get(name), str) for name in ("metric", "title", "unit", "better"))
        sound = sound and all(len(value.get(name, "")) <= MOST_TEXT for name in ("metric", "title", "unit") if "metric" in value)
        if good and sound and row.get("what") in QUALITY and row.get("split") == "test":
            found.append({"value": value, "data": row["data"]})
    return max(found, key=lambda each: float(each["value"]["n"]), default=None)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one measurement."""
    data, machine, value = (_mapping(row.get(name)) for name in ("data", "machine", "value"))
    texts = {**{name: row.get(name) for name in SEEN}, "data": data.get("name"), "cpu": machine.get("cpu"), "device": value.get("device")}
    short = {name: text for name, text in texts.items() if isinstance(text, str) and len(text) <= MOST_TEXT}
    named = {name: text for name in NAMED if isinstance(text := value.get(name), str) and len(text) <= MOST_TEXT}
    return {**short, **named, **_figures(row, ("images",)), **_figures(value, VALUES)}


def _figures(plain: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    """Return what is a finite number."""
    return {name: plain[name] for name in names if _number(plain.get(name))}


def _number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, empty where there is none."""
    return value if isinstance(value, dict) else {}


TOLD = (*QUALITY, "latency")


def document(opened: Opened, pixels: Pixels, store: RunStore) -> dict[str, Any]:
    """Return what is known of a run.

    ``run`` (its fields, and the ``name`` that somebody gave it), ``measurements`` (accuracy and latency, where and with which versions),
    ``dense`` (counts and accuracy of the model that it began from, where they are kept), ``input`` and ``layers`` (what stays of each).
    """
    run = opened.run
    dense = _beginning(run, store)
    return {
        "run": {name: getattr(run, name) for name in ("id", "kind", "title", "model", "spec", "recovery", "created", "info")}
        | {"name": store.label(run.id).name},
        "measurements": _measurements(run, store),
        "dense": None
        if dense is None or dense.id == run.id
        else {"info": _counted(dense, opened), "measurements": _measurements(dense, store)},
        "input": {
            "shape": list(pixels.shape),
            "mean": None if pixels.mean is None else list(pixels.mean),
            "std": None if pixels.std is None else list(pixels.std),
            "pixels": pixels.sentence,
            "classes": list(pixels.classes),
        },
        "layers": _layers(opened),
    }


def to_json(told: dict[str, Any]) -> str:
    """Return strict JSON."""
    return json.dumps(told, indent=2, ensure_ascii=False, default=str)


def _beginning(run: Run, store: RunStore) -> Run | None:
    """Return the run of the dense model, where it is kept."""
    seen: Run | None = run
    for _ in range(16):  # prune, recalibrate, fine-tune, quantise: a longer line is none
        if seen is None or seen.kind in ("dense", "trained") or seen.parent is None:
            return seen
        seen = store.get_run(seen.parent)
    return None


def _counted(dense: Run, opened: Opened) -> dict[str, Any]:
    """Return what is known of the dense model, counted where nobody has measured it."""
    if "params" in dense.info or opened.dense is None or opened.shape is None:
        return dense.info
    return {**asdict(count(opened.dense, opened.shape)), **dense.info}


def _measurements(run: Run, store: RunStore) -> list[dict[str, Any]]:
    """Return what was measured of a run."""
    found = sorted(
        (m for m in store.measurements(run.id) if m.what in TOLD and not m.earlier),
        key=lambda m: (m.what, m.split, m.n, m.runtime, m.id),
    )
    return [_plain(measurement) for measurement in found]


def _plain(seen: Measurement) -> dict[str, Any]:
    """Return a measurement without its samples."""
    names = ("what", "value", "data", "split", "runtime", "machine", "versions", "created")
    told = {name: getattr(seen, name) for name in names} | {"images": seen.n}
    return told if seen.metric is None else told | {"metric": {name: seen.metric[name] for name in ("name", "title", "unit", "better")}}


def _layers(opened: Opened) -> Any:
    """Return the kept outputs of each layer, where they are known."""
    if opened.result is not None:
        return layers_of(opened.result)["layers"]
    if opened.file is not None and is_folder(opened.file):
        return read_result(opened.file).get("layers", [])
    return []
