"""A comparison as one HTML file that opens without a network: the answer, the numbers, the pictures, the settings."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup, escape
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from prunekit.comparison.columns import Column
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.tradeoff import metric_frame
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.records import QUALITY
from prunekit.experiments.store import RunStore
from prunekit.formatting import by_times, ratio_span, size, times
from prunekit.plots import theme
from prunekit.reports import pictures
from prunekit.reports.material import Shapes, family, said, shapes
from prunekit.reports.pictures import Picture, View
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
    ratio = by_times(dense.bytes, small.bytes, "smaller than", "larger than", "as large as") if small and dense and small.bytes else ""
    return (
        (
            f"{kept.metric.title if kept else ACCURACY.title} kept", kept.text() if kept else "–",
            f"dense {before.text()}" if kept and before else "not measured",
        ),
        ("Size to ship", size(small.bytes) if small else "–", f"{ratio} dense" if ratio else "not measured"),
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


def report(
    comparison: Comparison, store: RunStore, view: View | None = None, *, found: Shapes | None = None, address: str = "",
    progress: Progress = QUIET,
) -> str:  # fmt: skip
    """Return the HTML report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    store : RunStore
        Where the runs are: they are opened to look at their layers and weights. What they predict is drawn where it is stored.
    view : View, optional
        How it is looked at.
    found : Shapes, optional
        What the runs look like, where that is known already.
    address : str
        Where the same comparison shows in the dashboard.
    progress : Progress, optional
        Told how far the work is.

    Returns
    -------
    str
        As `html`.
    """
    look = view or View()
    seen = found if found is not None else shapes(comparison, store, progress=progress)
    drawn: list[Picture] = [*_tradeoff(comparison, look), *pictures.of_layers(seen, look), *pictures.of_weights(seen, look)]
    drawn += pictures.of_masks(seen, look)
    try:
        told = said(comparison, store)
    except PrunekitError:  # the data are not at hand: the rest of the report does not need them
        told = None
    if told is not None:
        drawn += pictures.of_behaviour(told, look)
    drawn += pictures.of_family(family(comparison, store.runs(), accuracies(store, comparison)), comparison.quality)
    return html(comparison, drawn, relative=look.relative, address=address)


def _tradeoff(comparison: Comparison, look: View) -> list[Picture]:
    """Return the picture of the trade-off with what is best within the budget in its caption."""
    _, sentence = pictures.budget(comparison, look)
    drawn = pictures.of_tradeoff(comparison, look)
    return [replace(one, caption=f"**{sentence}** {one.caption}" if sentence else one.caption) for one in drawn]


def accuracies(store: RunStore, comparison: Comparison) -> dict[str, float]:
    """Return the quality by run of all that were measured on the images of a comparison: steps between others would mean nothing."""
    on = (comparison.data_id, comparison.split, comparison.images, comparison.quality.name)
    found = [m for what in QUALITY for seen in store.all_measurements(what).values() for m in seen if m.metric is not None]
    return {m.run: float(m.value["value"]) for m in found if (m.data, m.split, m.n, (m.metric or {})["name"]) == on}
