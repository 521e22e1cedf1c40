"""Plain tables and numbers for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunekit import formatting
from prunekit.evaluation.sizes import gzip_note
from prunekit.formatting import ordinary
from prunekit.pruning.skipped import Skipped, grouped
from prunekit.tasks.metrics import PERCENT, Metric


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns: the first to the left, numbers to the right."""
    cells = [list(header), *[["–" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    left = [i == 0 or not any(row[i][:1].isdigit() for row in cells[1:]) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(w) if to_left else cell.rjust(w) for cell, w, to_left in zip(row, widths, left, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def skipped_table(modules: Sequence[Mapping[str, Any]], params: int) -> list[str]:
    """Return the modules that take no part as a table, those of one class and reason as one; nothing where all do."""
    rows = grouped([Skipped(**module) for module in modules])
    cells = [(name, kind, f"{held:,}", percent(held / params), why) for name, kind, held, why in rows]
    return ["", table(["takes no part", "type", "parameters", "share", "why"], cells)] if cells else []


def short(number: float | None) -> str | None:
    """Return a count with three digits and a unit: 11.7 M."""
    return None if number is None else ordinary(formatting.count(number))


def byte_text(number: float | None) -> str | None:
    """Return bytes in kB, MB (powers of 1000)."""
    return None if number is None else ordinary(formatting.size(number))


def size_text(sizes: Mapping[str, Any], name: str) -> str | None:
    """Return one of the four sizes; beside a gzipped one that is estimated, that it is, and how well."""
    note = gzip_note(sizes) if name == "gzip" else ""
    return byte_text(sizes[name]) if not note else f"{byte_text(sizes[name])} ({note})"


def percent(share: float | None, digits: int = 1) -> str | None:
    """Return a fraction as a percentage."""
    return None if share is None else ordinary(formatting.percent(share, digits))


def quality_text(told: Mapping[str, Any] | None) -> str:
    """Return a quality with its interval, as it stands in JSON; one that names no unit is an accuracy."""
    if told is None:
        return "not measured"
    if told.get("unit", PERCENT) == PERCENT:
        value, between = percent(told["value"]), formatting.span(told["low"], told["high"])
    else:
        metric = Metric("", "", lambda _: 0.0, told["unit"], decimals=told.get("decimals"))
        value, ends = metric.format(told["value"]), (told["low"], told["high"])
        between = "no interval" if None in ends else metric.span(*ends)
    return ordinary(f"{value} ({between}, n = {told['n']:,})")


def metric_rows(*sides: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return a row for each metric of some documents of qualities; what was not measured has no name."""
    titles = {name: phrase(told) for side in sides for name, told in side.get("metrics", {}).items()}
    if not titles:
        known = any(side.get("accuracy") for side in sides)
        return [("accuracy" if known else "quality", *(quality_text(side.get("accuracy")) for side in sides))]
    return [(title, *(quality_text(side.get("metrics", {}).get(name)) for side in sides)) for name, title in titles.items()]


def phrase(told: Mapping[str, Any]) -> str:
    """Return what a metric is called within a sentence, of its document."""
    return Metric("", told["title"], lambda _: 0.0).phrase


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as in ``64×3×3``."""
    return "×".join(str(side) for side in shape)
