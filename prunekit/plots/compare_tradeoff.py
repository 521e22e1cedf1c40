"""Any two figures of runs against each other: the Pareto front, and a budget."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prunekit.comparison.metrics import Metric
from prunekit.comparison.tradeoff import metrics_in, pareto
from prunekit.evaluation.quality import DENSE
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour

FORMS = {"share": ".0%", "count": "~s", "bytes": "~s", "ratio": ".3~g"}
UNITS = {"ratio": " (dense = 1)"}


def tradeoff(
    frame: pd.DataFrame, *, x: str = "shipped", y: str = "accuracy", bound: float | None = None, bound_on: str = "y", best: str = "",
    dark: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw two figures of each run against each other.

    Parameters
    ----------
    frame : DataFrame
        Of `prunekit.comparison.metric_frame`.
    x, y : str
        Names of `prunekit.comparison.METRICS`.
    bound : float, optional
        A budget, in the unit of its axis; the side that it rules out is shaded.
    bound_on : {"x", "y"}
        On which axis it lies.
    best : str
        The letter of the run to ring: the best within the budget.

    Returns
    -------
    plotly.graph_objects.Figure
        Traces ``front`` and ``runs``; runs without one of the two figures are not drawn. A click gives a run's id in ``customdata[0]``.
    """
    rows = frame[frame[x].notna() & frame[y].notna()]
    front = rows[pareto(rows, x, y)].sort_values([x, y])
    dots = theme.intervals_over(_dots(rows, x, y, best, dark), dark)
    fig = theme.figure([_front(front, x, y, dark), *dots], dark=dark, height=440, showlegend=False)
    fig.update_layout(margin={"t": 26, "r": 26})
    fig.update_xaxes(**_axis(rows, x, bound if bound_on == "x" else None))
    fig.update_yaxes(**_axis(rows, y, bound if bound_on == "y" else None))
    if bound is not None:
        _budget(fig, metrics_in(frame)[x if bound_on == "x" else y], bound, bound_on, dark)
    return fig


def _axis(rows: pd.DataFrame, name: str, bound: float | None) -> dict[str, object]:
    """Return an axis with its title, unit and range."""
    metric = metrics_in(rows)[name]
    unit = "" if metric.quality is None or metric.unit != "quality" else metric.quality.unit
    title = metric.title + UNITS.get(metric.unit, f" ({unit})" if unit else "")
    return {
        "title_text": title,
        "tickformat": FORMS.get(metric.unit),
        "ticksuffix": "B" if metric.unit == "bytes" else "",
        "range": _range(rows, name, bound),
    }


def _range(rows: pd.DataFrame, name: str, bound: float | None) -> list[float]:
    """Return the range of an axis: from zero for what is counted, around the points for shares; intervals and a budget lie within."""
    ends = rows[["accuracy_low", "accuracy_high"]].to_numpy().ravel() if name == "accuracy" else []
    found = [*rows[name], *ends, *([] if bound is None else [bound])] or [0.0, 1.0]
    low, high = min(found), max(found)
    unit = metrics_in(rows)[name].unit
    if unit == "quality":
        pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        return [low - pad, high + pad]
    if unit != "share":
        return [0.0, high * 1.15 or 1.0]
    pad = max(0.08 * (high - low), 0.01)
    return [max(low - pad, -0.005), min(high + pad, 1.03)]


def _front(rows: pd.DataFrame, x: str, y: str, dark: bool) -> go.Scatter:
    """Return the line through the runs that no other beats in both."""
    line = {"color": theme.fade_any(theme.muted(dark), 0.35), "width": 8}
    return go.Scatter(x=rows[x], y=rows[y], mode="lines", name="front", line=line, hoverinfo="skip")


def _dots(rows: pd.DataFrame, x: str, y: str, best: str, dark: bool) -> go.Scatter:
    """Return the runs, accuracies with their intervals."""
    colours = [letter_colour(letter, dark) for letter in rows["letter"]]
    words = [f"   <b>{letter}</b>" for letter in rows["letter"]]
    across, up = metrics_in(rows)[x], metrics_in(rows)[y]
    said = list(zip(rows["run"], rows["title"], rows["letter"], map(across.text, rows[x]), map(up.text, rows[y]), strict=True))
    rings = [theme.ink(dark) if letter == best else theme.paper(dark) for letter in rows["letter"]]
    big = [18 if letter == best else 14 for letter in rows["letter"]]
    return go.Scatter(
        x=rows[x], y=rows[y], mode="markers+text", name="runs", text=words, textposition="middle right",
        textfont={"color": colours, "size": 14}, cliponaxis=False,
        marker={"size": big, "color": colours, "opacity": 1, "line": {"width": 2, "color": rings}},
        customdata=said, error_x=_interval(rows, x), error_y=_interval(rows, y),
        hovertemplate=(
            f"<b>%{{customdata[2]}}</b> %{{customdata[1]}}<br>{across.title}: %{{customdata[3]}}<br>"
            f"{up.title}: %{{customdata[4]}}<extra></extra>"
        ),
    )  # fmt: skip


def _interval(rows: pd.DataFrame, name: str) -> dict[str, object] | None:
    """Return the bars of an accuracy's interval; None for what has none."""
    if name != "accuracy":
        return None
    up, down = rows["accuracy_high"] - rows["accuracy"], rows["accuracy"] - rows["accuracy_low"]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def _budget(fig: go.Figure, metric: Metric, bound: float, on: str, dark: bool) -> None:
    """Draw the budget as a dotted line, and shade what it rules out."""
    words = f"{'at least' if metric.higher_is_better else 'at most'} {metric.text(bound)}"
    theme.reference(fig, **{on: bound}, text=words, colour=theme.removed(dark, 1.0), dash="dot")
    axis = fig.layout.xaxis if on == "x" else fig.layout.yaxis
    far = axis.range[0] if metric.higher_is_better else axis.range[1]
    other = "y" if on == "x" else "x"
    box = {f"{on}0": bound, f"{on}1": far, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    fig.add_shape(type="rect", **box, fillcolor=theme.removed(dark, 0.07), line_width=0, layer="below")


def tradeoff_caption(frame: pd.DataFrame, x: str, y: str) -> str:
    """Say which runs no other beats, and what is not drawn, from the points in view.

    Parameters
    ----------
    frame, x, y
        As for :func:`tradeoff`.
    """
    rows = frame[frame[x].notna() & frame[y].notna()]
    if rows.empty:
        return f"{metrics_in(frame)[x].title} and {metrics_in(frame)[y].title} were never measured together: measure what is missing."
    beaten = rows[~pareto(rows, x, y)]["letter"].tolist()
    front = rows[pareto(rows, x, y)]["letter"].tolist()
    text = f"{_and(front)} {'is' if len(front) == 1 else 'are'} beaten by no other in both (the grey line)."
    if beaten:
        text += f" {_and(beaten)}: another run is at least as good in both."
    left = frame.loc[~frame.index.isin(rows.index), "letter"].tolist()
    return text + (f" Not drawn, for one of the two was never measured: {_and(left)}." if left else "")


def _and(letters: list[str]) -> str:
    """Return letters as a list in words; the dense model reads as such."""
    names = ["dense" if letter == DENSE else letter for letter in letters]
    words = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return words[:1].upper() + words[1:]
