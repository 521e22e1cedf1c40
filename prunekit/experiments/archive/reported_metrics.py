"""What an archive says was measured: a few figures, kept apart from what was measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunekit.experiments.archive.manifest import RESULT, ArchiveError, Manifest
from prunekit.experiments.records import LONGEST_NAME, QUALITY

MOST_ROWS, MOST_TEXT = 64, 200
COUNTS = ("params", "nonzero", "macs", "effective_macs", "sparsity", "achieved", "bytes")
SIZES = ("dense", "gzip", "sparse", "surgery", "gzip_low", "gzip_high")
NAMED = ("metric", "title", "unit", "better")
SEEN = ("what", "split", "runtime", "created")
VALUES = ("value", "low", "high", "n", "median_ms", "q1_ms", "q3_ms", "batch", "threads")


def result_in(folder: Path) -> dict[str, Any]:
    """Return the ``result.json`` of an unpacked archive.

    Raises
    ------
    ArchiveError
        If it is not valid.
    """
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ArchiveError(f"{RESULT} in the archive is not valid JSON: it was changed and is not taken in")
    return told


def told_of(result: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return the figures in a result: known names, finite numbers and short texts, nothing else.

    Returns
    -------
    dict
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
