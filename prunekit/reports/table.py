"""The numbers of a comparison as a table in HTML: the dense model behind a divider, then a column for each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from prunekit.colours import MARK
from prunekit.comparison.columns import Column, Speed
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import METRICS
from prunekit.evaluation.sizes import gzip_note
from prunekit.experiments.records import Run
from prunekit.formatting import milliseconds, percent, points, ratio_span, times
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.metrics import HIGHER, PERCENT


def short_title(run: Run) -> str:
    """Return a run's title without the model's name before it, as in ``structured, l1, global, 50 %``."""
    name = str(run.model.get("name", "")).rpartition("/")[2]
    for first in (str(run.model.get("name", "")), name):
        if first and run.title.startswith(f"{first}, "):
            return run.title[len(first) + 2 :]
    return run.title


def model_name(run: Run) -> str:
    """Return the name of the model that a run was made of, without folders."""
    return str(run.model.get("name", "")).rpartition("/")[2]


def called(column: Column) -> str:
    """Return what a column is called: its name, or else its title without that of the model."""
    return column.name or short_title(column.run)


COUNTS = ("params", "nonzero", "sparsity", "of_all", "macs", "effective_macs")
SIZES = ("shipped", "tables", "beside", "dense", "gzip", "sparse", "surgery")
NOTHING, UNMEASURED = "–", "not measured"


@dataclass(frozen=True)
class Cell:
    """One figure as it stands in the table."""

    text: str = NOTHING  # text, note: the figure, and what stands small below it
    note: str = ""
    best: bool = False  # whether no other run is better


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    label: str
    cells: tuple[Cell, ...]  # the dense model's, then one for each run
    how: str = ""  # ``measured``, ``counted`` or ``estimated``
    mark: str = ""  # ``≠`` for a setting that differs, ``(≠)`` where that follows from another one


def groups(comparison: Comparison, *, relative: bool = False) -> dict[str, list[Row]]:
    """Return the rows of the table by what they are about."""
    marks = ["" if not row.differs else "≠" if row.counts else "(≠)" for row in comparison.settings]
    settings = [
        Row(row.name[:1].upper() + row.name[1:], (Cell(""), *map(Cell, row.values)), mark=mark)
        for row, mark in zip(comparison.settings, marks, strict=True)
    ]
    found = {
        comparison.quality.title: _quality(comparison, relative),
        "What is left": [_figures(comparison, name, relative, "counted") for name in COUNTS],
        "Size": [_figures(comparison, name, relative, "measured") for name in SIZES if name in comparison.metrics],
        "Time": _time(comparison, relative),
        "Settings": settings,
    }
    return {name: rows for name, rows in found.items() if rows}


def _quality(comparison: Comparison, relative: bool) -> list[Row]:
    """Return the quality with its interval, and the paired difference."""
    seen, metric = [column.accuracy for column in comparison.all], comparison.quality
    best = _best([None if a is None else a.value for a in seen[1:]], higher=metric.better == HIGHER)
    values = [Cell(UNMEASURED) if a is None else Cell(a.text(), a.interval()) for a in seen]
    rows = [] if relative else [Row(metric.title, _marked(values, best), "measured")]
    told = [Cell("") if column is comparison.baseline else _difference(column) for column in comparison.all]
    unit = f", in {'points' if metric.unit == PERCENT else metric.unit}" if metric.unit else ""
    return [*rows, Row(f"Against dense{unit}", _marked(told, best) if relative else tuple(told), "measured")]


def _difference(column: Column) -> Cell:
    """Return the paired difference, its interval, and whether it is one."""
    found = column.difference
    if found is None:
        return Cell()
    word = "significant" if found.significant else "not significant"
    told = points if found.metric.unit == PERCENT else replace(found.metric, unit="").format_difference
    return Cell(told(found.value), f"{told(found.low)} to {told(found.high)}, {word}")


def _figures(comparison: Comparison, name: str, relative: bool, how: str) -> Row:
    """Return one figure of all columns."""
    metric = comparison.metrics[name]
    values = [metric.value(column) for column in comparison.all]
    dense = values[0]
    cells = [_figure(value, dense if place else None, name, relative) for place, value in enumerate(values)]
    if name == "shipped":
        cells = [Cell(cell.text, column.shipped.how if column.shipped else "") for cell, column in zip(cells, comparison.all, strict=True)]
    notes = [gzip_note(column.sizes) if name == "gzip" else "" for column in comparison.all]
    if any(notes):
        cells = [Cell(cell.text, ", ".join(filter(None, (cell.note, note)))) for cell, note in zip(cells, notes, strict=True)]
        how = "estimated" if all(notes) else "measured, or estimated where it says so"
    return Row(metric.title, _marked(cells, _best(values[1:], higher=metric.higher_is_better)), how)


def _figure(value: float | None, dense: float | None, name: str, relative: bool) -> Cell:
    """Return one figure, beside the dense model's where there is one."""
    metric = METRICS[name]
    if value is None:
        return Cell()
    if metric.unit == "share" or not dense:
        return Cell(percent(1.0, 0) if relative and dense is None and metric.unit != "share" else metric.text(value))
    less, more = dense / max(value, 1e-9), value / dense
    note = f"{times(less)} less" if value and less >= 1.05 else f"{times(more)} more" if more >= 1.05 else ""
    return Cell(percent(more) if relative else metric.text(value), note)


def _time(comparison: Comparison, relative: bool) -> list[Row]:
    """Return measured times, where there are any, and under which conditions."""
    speeds = [column.speed for column in comparison.all]
    if not any(speeds):
        return [Row("Time", (Cell(), *(Cell("never measured") for _ in comparison.columns)))]
    rows = [_fast("Times as fast as dense", speeds)]
    if not relative:
        medians = [Cell() if s is None or s.median_ms is None else Cell(f"{milliseconds(s.median_ms)} ms") for s in speeds]
        rows.insert(0, Row("Median of a batch", tuple(medians), "measured"))
    shown = next(s.runtime for s in speeds if s is not None)
    others = dict.fromkeys(s.runtime for column in comparison.all for s in column.speeds if s.runtime != shown)
    for name in others:
        here = [next((s for s in column.speeds if s.runtime == name), None) for column in comparison.all]
        rows.append(_fast(f"Times as fast as dense, both in {RUNTIMES[name].title if name in RUNTIMES else name}", here))
    return rows


def _fast(label: str, speeds: Sequence[Speed | None]) -> Row:
    """Return how many times as fast as the dense model each run is."""
    best = _best([None if s is None else s.ratio for s in speeds[1:]], higher=False)
    told = [Cell() if s is None else Cell(times(1 / s.ratio), ratio_span(1 / s.high, 1 / s.low)) for s in speeds]
    return Row(label, (Cell(times(1.0)), *_marked(told, best)[1:]), "measured")


def _best(values: Iterable[float | None], *, higher: bool) -> int:
    """Return the place of the best of several runs; -1 where two are equal or there is no choice."""
    known = [(value if higher else -value, place) for place, value in enumerate(values) if value is not None]
    top = max(known, default=(0.0, -1))
    return top[1] if len(known) > 1 and sum(value == top[0] for value, _ in known) == 1 else -1


def _marked(cells: list[Cell], best: int) -> tuple[Cell, ...]:
    """Return a row with the cell of the best run marked, unless another one reads the same; the dense model is none of them."""
    if sum(cell.text == cells[best + 1].text for cell in cells[1:]) > 1:
        best = -1
    return tuple(Cell(c.text, c.note, place == best + 1 and best >= 0) for place, c in enumerate(cells))


TEMPLATES = Environment(loader=PackageLoader("prunekit.reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
TEMPLATES.filters.update(called=called, colour=letter_colour, short_title=short_title)


def table_html(comparison: Comparison, *, relative: bool = False, dark: bool = False) -> Markup:
    """Return the table with its own style: HTML without any script, foreign text in it escaped."""
    colours = {"ink": theme.ink(dark), "muted": theme.muted(dark), "line": theme.grid(dark), "gone": theme.removed(dark, 1.0)}
    colours |= {"dense": theme.fade(theme.dense(dark), 0.09), "mark": theme.fade(MARK, 0.14)}
    template, rows = TEMPLATES.get_template("table.html"), groups(comparison, relative=relative)
    return Markup(template.render(colours, columns=comparison.all, groups=rows, dark=dark))
