"""A comparison as one HTML file that opens without a network: the answer, the numbers, the pictures, the settings."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence

from markupsafe import Markup, escape
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from prunekit.comparison.columns import Column
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.tradeoff import metric_frame
from prunekit.formatting import ratio_span, size, times
from prunekit.plots import theme
from prunekit.reports.pictures import Picture
from prunekit.reports.table import TEMPLATES, table_html
from prunekit.tasks.classification import ACCURACY

FILES = (("CSV", "text/csv"), ("JSON", "application/json"))


def as_csv(comparison: Comparison) -> str:
    """Return the numbers as CSV: a row for each run, the dense model first; what was never measured is empty."""
    return str(metric_frame(comparison).to_csv(index=False))


def as_json(comparison: Comparison) -> str:
    """Return the whole comparison as JSON."""
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False) + "\n"


def html(comparison: Comparison, pictures: Sequence[Picture] = (), *, relative: bool = False, address: str = "") -> str:
    """Return the report.

    Parameters
    ----------
    comparison : Comparison
        What was compared; foreign text in it is escaped.
    pictures : sequence of Picture
        Charts in the order in which they stand in the report.
    relative : bool
        Whether numbers stand as shares of the dense model's.
    address : str
        Where the same comparison shows in the dashboard; written as text.

    Returns
    -------
    str
        One file: plotly stands in it once, and nothing is fetched.
    """
    best, said = (comparison.column(comparison.best) if comparison.best else None), (as_csv(comparison), as_json(comparison))
    files = [(name, mime, b64encode(text.encode()).decode()) for (name, mime), text in zip(FILES, said, strict=True)]
    look = {"font": theme.FONT, "ink": theme.ink(False), "muted": theme.muted(False), "line": theme.grid(False), "kept": theme.KEPT}
    return TEMPLATES.get_template("page.html").render(
        {name: Markup(value) for name, value in look.items()},
        title=title_of(comparison),
        comparison=comparison,
        best=best,
        tiles=big_three(best, comparison.baseline) if best else (),
        files=files,
        table=table_html(comparison, relative=relative),
        pictures=pictures,
        address=address,
        plotly=Markup(get_plotlyjs()) if pictures else "",
    )


def title_of(comparison: Comparison) -> str:
    """Return what a comparison is called."""
    name = str(comparison.baseline.run.model.get("name", "")).rpartition("/")[2]
    letters = [column.letter for column in comparison.columns]
    return f"{name}: {' and '.join(letters) if len(letters) < 3 else f'{letters[0]} to {letters[-1]}'}"


def big_three(column: Column, baseline: Column) -> tuple[tuple[str, str, str], ...]:
    """Return the three big numbers of a run: label, value, and what stands below; a dash until it was measured."""
    kept, before, faster = column.accuracy, baseline.accuracy, column.speed
    small, dense = column.shipped, baseline.shipped
    ratio = times(dense.bytes / small.bytes) if small and dense and small.bytes else ""
    return (
        (
            f"{kept.metric.title if kept else ACCURACY.title} kept", kept.text() if kept else "–",
            f"dense {before.text()}" if kept and before else "not measured",
        ),
        ("Size to ship", size(small.bytes) if small else "–", f"{ratio} smaller than dense" if ratio else "not measured"),
        (
            "Speed", times(1 / faster.ratio) if faster else "–",
            f"{ratio_span(1 / faster.high, 1 / faster.low)}, {faster.where()}" if faster else "not measured",
        ),
    )  # fmt: skip


def markdown(text: str) -> Markup:
    """Return a caption as HTML: escaped, with ``**bold**`` as bold."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text))))


def _drawn(figure: Figure) -> Markup:
    """Return a figure as JSON in which no text can end the script around it."""
    return Markup(figure.to_json().replace("<", "\\u003c"))


TEMPLATES.filters.update(bold=markdown, drawn=_drawn)
