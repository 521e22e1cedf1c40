"""Elements of every page: headings, numbers with their tag, charts with a caption, plain errors."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import isnan
from typing import Any, NoReturn

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from prunekit import colours
from prunekit.config.field_table import PruneFields, RecoveryFields
from prunekit.config.fields import table
from prunekit.config.ids import DataId
from prunekit.errors import PrunekitError
from prunekit.experiments.home import home
from prunekit.experiments.jobs.job import Job
from prunekit.formatting import THIN, percent, span, unbroken
from prunekit.plots.light_figure import figure_table
from prunekit.reports.pictures import Picture
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import PERCENT, Metric, Proportion
from prunekit.ui.page import Page


def share(title: str, **options: Any) -> Any:
    """Return a bar from nothing to all, for a column of :func:`in_percent`."""
    return st.column_config.ProgressColumn(title, format=f"%.1f{THIN}%%", min_value=0, max_value=100, **options)


def hidden_count(title: str) -> Any:
    """Return a column of counts that can be shown from the menu of the table."""
    return {**st.column_config.NumberColumn(title, format="localized"), "hidden": True}


def text_column(title: str, texts: pd.Series, most: int = 290, **options: Any) -> Any:
    """Return a column that is as wide as its longest text and its title, within limits; pixels."""
    return st.column_config.TextColumn(title, width=min(max(20 + 6 * int(texts.str.len().max()), 26 + 6 * len(title), 75), most), **options)


def in_percent(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return a table with shares, 0..1, in percent, rounded as sentences round them: a browser rounds 31.25 up."""
    return frame.assign(**{name: (100 * frame[name]).round(1) for name in names})


TAGS = {
    "measured": ":green-badge[measured]",
    "estimated": ":orange-badge[estimated]",
    "counted": ":gray-badge[counted]",
}
LABELS = {name: row.label for fields in (DataId, RecoveryFields, PruneFields) for name, row in table(fields).items()}
NO_TOOLBAR = {"displayModeBar": False, "scrollZoom": False}


def dark() -> bool:
    """Return whether the page is dark."""
    return st.context.theme.type == "dark"


def wordmark() -> str:
    """Return the name of the house as a picture: a grid of weights, some of them gone."""
    ink, gone = (colours.INK_DARK, colours.CELL_DARK) if dark() else (colours.INK, colours.CELL)
    cells = _grid(gone)
    style = "font-family:'Source Sans','Source Sans Pro',sans-serif;font-size:24px;font-weight:650;letter-spacing:-0.3px"
    text = f'<text x="38" y="26" fill="{ink}" style="{style}">prunekit</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="150" height="36">{cells}{text}</svg>'


def mark() -> str:
    """Return the grid alone, for the browser's tab: a picture of our own, for an icon of Streamlit's would be fetched from elsewhere."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 3 29 29">{_grid(colours.CELL_TAB)}</svg>'


def _grid(gone: str) -> str:
    """Return nine weights, three of them gone."""
    square = '<rect x="{}" y="{}" width="7" height="7" rx="1.5" fill="{}"/>'
    return "".join(square.format(2 + 9 * (i % 3), 5 + 9 * (i // 3), gone if i in (1, 3, 8) else colours.KEPT) for i in range(9))


def heading(page: Page) -> None:
    """Open a page: the question as the title, and one sentence on what the page answers."""
    st.title(page.question, anchor=False)
    st.markdown(f":gray[{page.sentence}]")


def section(title: str, note: str = "") -> None:
    """Open a section of a page."""
    st.subheader(title, anchor=False)
    if note:
        st.caption(note)


def slot() -> AbstractContextManager[Any]:
    """Return one place on the page for a part that comes and goes: what follows stays where it is, and is never on screen twice.

    Streamlit tells elements apart by their place; one that appears moves all that follow, and until the page is drawn to its end the
    moved ones stand in both places.
    """
    return st.container()


def tag(how: str) -> str:
    """Return the badge that says how a number came about: measured, estimated or counted (exact, without running anything)."""
    return TAGS[how]


def tile(label: str, value: str, how: str = "", dense: str = "", note: str = "") -> None:
    """Show one big number, its tag and the dense model's value."""
    # the tag is no part of the label, whose markup is read aloud by the button of the tooltip
    st.metric(
        label,
        f"{value} {tag(how)}" if how else value,
        dense or " ",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=note or None,
        height="stretch",
    )


def doubts(sentences: Sequence[str]) -> None:
    """Say what was guessed, and which qualities are no better than chance, where a figure beside hangs on it."""
    for sentence in filter(None, sentences):
        st.warning(f"{plain(sentence)}.", icon=":material/help:")


def chart(
    fig: go.Figure, key: str, caption: str, alt: str = "", *, least: int = 0, rows: Callable[[], pd.DataFrame] | None = None, **options: Any
) -> Any:
    """Show a figure with the sentence that says what to notice in it, and its table; on a screen below ``least`` pixels it scrolls.

    The table holds the points of the figure, or what ``rows`` returns where these say little.
    """
    config = options.pop("config", NO_TOOLBAR)
    with st.container(key=f"least_{key}") if least else nullcontext():
        if least:
            box = f".st-key-least_{key}"
            st.html(f"<style>{box} {{overflow-x: auto}} {box} > :has([data-testid=stPlotlyChart]) {{min-width: {least}px}}</style>")
        shown = st.plotly_chart(fig, key=key, config=config, alt=alt or bare(caption), theme="streamlit", **options)
        # inside the box that scrolls, so that it can be reached, and then scrolled, by keys
        with st.container(horizontal=True, wrap=False, gap="small", key=f"below_{key}"):
            st.caption(caption or " ", width="stretch")
            _table(fig, key, rows)
    return shown


def _table(fig: go.Figure, key: str, rows: Callable[[], pd.DataFrame] | None) -> None:
    """Offer the figures of a chart as a table, which is made when it is opened."""
    with st.popover("Table", icon=":material/table:", type="tertiary", key=f"table_{key}", on_change="rerun") as box:
        if box.open:
            frame, there = figure_table(fig) if rows is None else ((own := rows()), len(own))
            st.dataframe(frame, hide_index=True, width=560, alt="The figures of the chart")
            if there > len(frame):
                st.caption(f"The first {len(frame):,} of {there:,} rows.")


def saved_as(form: str, name: str) -> dict[str, Any]:
    """Return the toolbar of a chart that can be saved: its camera writes a picture of what is on screen."""
    options = {"format": form, "filename": name, "scale": 2 if form == "png" else 1}
    return {
        "displayModeBar": True,
        "displaylogo": False,
        "scrollZoom": False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": options,
    }


def pictures(drawn: Sequence[Picture]) -> None:
    """Show pictures, each with its question above and its caption below; the camera saves them as the page's own switch says."""
    form = {"SVG": "svg"}.get(str(st.session_state.get("picture_form")), "png")
    for picture in drawn:
        section(picture.title)
        chart(picture.figure, f"picture_{picture.name}", picture.caption, config=saved_as(form, picture.name))


class PageEnd(StopException):
    """A page, or a fragment of one, ends here; what stands around every page is still drawn, which `st.stop` would leave out."""


def end_page() -> NoReturn:
    """End the page."""
    raise PageEnd


@contextmanager
def plain_errors(*, stop: bool = True) -> Iterator[None]:
    """Show an error of prunekit in its own words, and stop the page there if asked to."""
    try:
        yield
    except PrunekitError as error:
        st.error(said(error), icon=":material/error:")
        if stop:
            end_page()


def said(error: PrunekitError) -> str:
    """Return an error's message with the fields of settings called as the screen calls them, fit for Markdown."""
    return plain(error.said(lambda name: f"“{LABELS[name]}”" if name in LABELS else name))


def failed(job: Job) -> str:
    """Return why a job failed, as `said` does."""
    return said(PrunekitError(job.error))


def plain(text: str) -> str:
    """Return foreign text with Markdown's characters escaped, its percent unbroken; files in folders of the server go by their names."""
    text = unbroken(text)
    for folder in (tempfile.gettempdir(), str(home())):
        text = re.sub(rf"(?<![\w./-]){re.escape(folder)}/(?:[^\s/]+/)*", "", text) if folder in text else text
    return "".join("\\" + c if c in "\\`*_[]<>$#:~|" else c for c in text)


def bare(text: str) -> str:
    """Return Markdown as it is read aloud."""
    return re.sub(r"\\(.)", r"\1", re.sub(r":[a-z-]+\[([^\]]*)\]|\*\*|(?<!\\)`", r"\1", text))


def interval(low: float, high: float, n: int, metric: Metric = ACCURACY) -> str:
    """Return a quality's 95 % interval and its number of samples, short enough for a tile."""
    if isnan(low):
        return f"no interval, n = {n:,}"
    return f"{span(low, high) if metric.unit == PERCENT else metric.span(low, high)}, n = {n:,}"


def interval_by(metric: Metric) -> str:
    """Return how a metric's interval is made."""
    return "Wilson" if isinstance(metric, Proportion) else "bootstrap"


def plus_minus(value: float, low: float, high: float, metric: Metric = ACCURACY) -> str:
    """Return a share with half the width of its interval, ``98.1 % ± 0.7``; any other metric with its interval."""
    if metric.unit != PERCENT:
        return metric.format(value) + ("" if isnan(low) else f" ({metric.span(low, high)})")
    return f"{percent(value)} ± {50 * (high - low):.1f}"


def empty(sentence: str, icon: str = "info") -> None:
    """Show an empty state: what to do next."""
    with st.container(border=True, horizontal_alignment="center"):
        st.html(f'<div class="sign" aria-hidden="true">{icon}</div>', width="content")
        st.markdown(f":gray[{sentence}]", text_alignment="center")
