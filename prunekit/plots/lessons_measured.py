"""Pictures of the lessons that measure: the cliff, fragile layers, what comes back, and copies held against the original."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.colours import WHITE
from prunekit.formatting import count, percent, size
from prunekit.plots import theme
from prunekit.plots.quality_axis import up_to_all
from prunekit.tasks.language_modelling import PERPLEXITY
from prunekit.tasks.wording import written

NAMES = {"dense": "original", "unstructured": "single weights gone", "structured": "whole channels gone"}
BUDGETS = {"params": "same weights", "macs": "same multiplications", "bytes": "same bytes", "ms": "same time"}


def _shares(*columns: pd.Series) -> list[tuple[str, ...]]:
    """Return shares as people read them, a row for each point."""
    return [tuple(map(percent, row)) for row in zip(*columns, strict=True)]


def kind_colours(dark: bool) -> dict[str, str]:
    """Return the colour of each kind of copy."""
    return {"dense": theme.dense(dark), "unstructured": theme.run_colour(0, dark), "structured": theme.run_colour(1, dark)}


def cliff(frame: pd.DataFrame, found: float, allowed: float, *, dark: bool = False) -> go.Figure:
    """Draw accuracy against sparsity, with what may be lost and the edge.

    ``frame``: columns ``sparsity``, ``accuracy``, ``low`` and ``high``.
    """
    colour, dense = theme.run_colour(0, dark), float(frame.accuracy.iloc[0])
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    traces = [
        go.Scatter(x=frame.sparsity, y=frame.high, **band),
        go.Scatter(x=frame.sparsity, y=frame.low, fill="tonexty", fillcolor=theme.fade(colour, 0.16), **band),
        go.Scatter(
            x=frame.sparsity, y=frame.accuracy, mode="lines+markers", line={"color": colour, "width": 2.4}, marker={"size": 5},
            hovertemplate="%{customdata[0]} removed: %{customdata[1]} right<extra></extra>",
            customdata=_shares(frame.sparsity, frame.accuracy), showlegend=False,
        ),
    ]  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=380, margin={"t": 26, "r": 16})
    fig.add_vrect(x0=found, x1=1, fillcolor=theme.removed(dark, 0.10), line_width=0, layer="below")
    theme.reference(fig, y=max(dense - allowed, 0), text="", colour=theme.muted(dark), dash="dot")
    theme.reference(fig, x=found, text=f"edge: {percent(found, 0)}", colour=theme.removed(dark, 1))
    theme.reference(fig, y=dense, colour=theme.dense(dark))
    fig.update_xaxes(title_text="share of the weights that is removed", tickformat=".0%", range=[0, 1])
    fig.update_yaxes(title_text="validation images read right", tickformat=".0%", range=[0, 1.03])
    return fig


def closed_names(frame: pd.DataFrame, found: float, least: float, *, dark: bool = False) -> go.Figure:
    """Draw what share of the names each size closes, against the share of the parameters that is gone.

    ``frame``: columns ``share``, ``closed``, ``low`` and ``high``.
    """
    colour = theme.run_colour(0, dark)
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    traces = [
        go.Scatter(x=frame.share, y=frame.high, **band),
        go.Scatter(x=frame.share, y=frame.low, fill="tonexty", fillcolor=theme.fade(colour, 0.16), **band),
        go.Scatter(
            x=frame.share, y=frame.closed, mode="lines+markers", line={"color": colour, "width": 2.4}, marker={"size": 6},
            hovertemplate="%{customdata[0]} gone: %{customdata[1]} closed<extra></extra>",
            customdata=_shares(frame.share, frame.closed), showlegend=False,
        ),
    ]  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=330, margin={"t": 26, "r": 16})
    theme.reference(fig, y=least, text="", colour=theme.muted(dark), dash="dot")
    theme.reference(fig, x=found, text=percent(found), colour=theme.removed(dark, 1))
    fig.update_xaxes(title_text="share of the parameters that is gone", tickformat=".0%", range=[0, 1.02])
    fig.update_yaxes(title_text="names closed", tickformat=".0%", range=[0, 1.05])
    return fig


def layers_off(frame: pd.DataFrame, dense: float, *, dark: bool = False) -> go.Figure:
    """Draw perplexity as the switches stand, and with one layer off, layer by layer.

    ``frame``: columns ``name``, ``value``, ``low`` and ``high``; the first is how the switches stand.
    """
    colours = [theme.KEPT, *[theme.run_colour(0, dark)] * (len(frame) - 1)]
    dots = go.Scatter(
        x=frame["value"], y=frame["name"], mode="markers+text", textposition="top right",  # beside the dashed line
        text=[written(PERPLEXITY, value) for value in frame.value],
        marker={"color": colours, "size": 10}, showlegend=False, cliponaxis=False, hovertemplate="%{y}: %{text}<extra></extra>",
        error_x={"array": frame.high - frame.value, "arrayminus": frame.value - frame.low},
    )  # fmt: skip
    fig = theme.figure(theme.intervals_over(dots, dark), dark=dark, height=60 + 38 * len(frame), margin={"t": 20})
    theme.reference(fig, x=dense, colour=theme.dense(dark))
    ends = [math.log10(frame.low.min() / 1.3), math.log10(frame.high.max() * 1.6)]
    fig.update_xaxes(title_text="perplexity (each step doubles)", type="log", dtick=math.log10(2), range=ends)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return fig


def fragile(frame: pd.DataFrame, dense: float, *, dark: bool = False) -> go.Figure:
    """Draw how large each layer is, and beside it what is left of accuracy when it alone is pruned.

    ``frame``: columns ``layer``, ``weights``, ``accuracy``, ``low`` and ``high``.
    """
    titles = ("share of all weights", "accuracy, pruned alone")
    fig = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.38, 0.62], horizontal_spacing=0.05, subplot_titles=titles)
    share = frame.weights / frame.weights.sum()
    fig.add_trace(_rows(frame.layer, share, theme.dense(dark)), row=1, col=1)
    fig.add_trace(_ends(frame.layer, share, [percent(value) for value in share]), row=1, col=1)
    error = {"array": frame.high - frame.accuracy, "arrayminus": frame.accuracy - frame.low, "color": theme.muted(dark), "thickness": 1.4}
    fig.add_trace(_rows(frame.layer, frame.accuracy, theme.run_colour(0, dark), error), row=1, col=2)
    beyond = [max(dense, float(frame.high.max()))] * len(frame)  # on the far side of the dashed line
    fig.add_trace(_ends(frame.layer, beyond, [percent(value) for value in frame.accuracy]), row=1, col=2)
    fig.add_vline(x=dense, line={"color": theme.dense(dark), "dash": "dash", "width": 1.5}, row=1, col=2)
    fig.update_layout(
        template=theme.TEMPLATES[dark], height=130 + 52 * len(frame), showlegend=False, margin={"t": 30}, uirevision="prunekit"
    )
    fig.update_annotations(font={"size": 13, "color": theme.muted(dark)})
    fig.update_xaxes(tickformat=".0%", range=[0, 1.4], tickvals=[0, 0.5, 1], row=1, col=1)
    fig.update_xaxes(tickformat=".0%", range=[0, 1.6], tickvals=[0, 0.5, 1], row=1, col=2)
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category")
    return fig


def _rows(names: Any, values: Any, colour: str, error: dict[str, Any] | None = None, **look: Any) -> go.Bar:
    """Return horizontal bars."""
    bar = {"marker": {"color": colour, "line": {"width": 0}}, "orientation": "h", "hovertemplate": "%{customdata}<extra></extra>"}
    return go.Bar(y=names, x=values, error_x=error, customdata=[percent(value) for value in values], **bar, **look)


def _ends(names: Any, values: Any, text: list[str]) -> go.Scatter:
    """Return what is written behind bars and their intervals."""
    return _texts(names, values, ["  " + word for word in text], "middle right")


def _texts(names: Any, values: Any, text: list[str], where: str) -> go.Scatter:
    """Return words beside places."""
    label = {"mode": "text", "textposition": where, "showlegend": False, "hoverinfo": "skip", "cliponaxis": False}
    return go.Scatter(y=names, x=values, text=text, textfont={"size": 13}, **label)


def comeback(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw accuracy step by step: the original, after the cut, after fine-tuning.

    ``frame``: columns ``step``, ``accuracy``, ``low`` and ``high``, three rows.
    """
    colours = [theme.dense(dark), theme.removed(dark, 0.75), theme.KEPT]
    error = {"array": frame.high - frame.accuracy, "arrayminus": frame.accuracy - frame.low, "color": theme.muted(dark), "thickness": 1.4}
    bars = go.Bar(
        x=frame.step, y=frame.accuracy, error_y=error, marker={"color": colours, "line": {"width": 0}}, width=0.55,
        text=[f"<b>{percent(value)}</b>" for value in frame.accuracy], textposition="inside", insidetextanchor="start",
        textfont={"size": 16, "color": WHITE}, hovertemplate="%{x}: %{text}<extra></extra>",
    )  # fmt: skip
    fig = theme.figure([bars], dark=dark, height=360, showlegend=False, margin={"t": 16})
    theme.reference(fig, y=float(frame.accuracy.iloc[0]), colour=theme.dense(dark))
    fig.update_yaxes(title_text="test images read right", tickformat=".0%", range=[0, 1.04])
    fig.update_xaxes(showgrid=False, tickfont={"size": 14})
    return fig


def against_original(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw what copies cost as shares of what the original costs.

    ``frame``: columns ``measure``, ``kind`` (``unstructured`` or ``structured``), ``share``, ``low``, ``high`` (NaN where exact) and
    ``text``.
    """
    colours, measures, traces = kind_colours(dark), list(dict.fromkeys(frame.measure)), []
    most = max(1.0, float(frame[["share", "high"]].max().max()))
    for kind, shift in (("unstructured", -0.19), ("structured", 0.19)):
        rows = frame[frame.kind == kind]
        places = [measures.index(measure) + shift for measure in rows.measure]
        error = {"array": rows.high - rows.share, "arrayminus": rows.share - rows.low, "color": theme.ink(dark), "thickness": 1.4}
        traces.append(_rows(places, rows.share, colours[kind], error, width=0.36, name=NAMES[kind]))
        ends = rows[["share", "high"]].max(axis=1)
        # a label takes about a fifth of the picture; one that would lie across the line of the original stands behind it
        traces.append(_ends(places, ends.mask(ends.between(1 - 0.22 * most, 1), 1.0), list(rows.text)))
    fig = theme.figure(traces, dark=dark, height=110 + 66 * len(measures), barmode="overlay", margin={"t": 46, "r": 60})
    theme.reference(fig, x=1, text="original", colour=theme.dense(dark))
    fig.update_layout(legend={"traceorder": "normal", "y": 1.1})
    fig.update_xaxes(title_text="share of the original", tickformat=".0%", range=[0, 1.12 * most], rangemode="tozero")
    fig.update_yaxes(tickvals=list(range(len(measures))), ticktext=measures, range=[len(measures) - 0.45, -0.55], showgrid=False)
    return fig


def equal_budgets(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw the accuracy of both kinds at each budget, with its interval.

    ``frame``: columns ``budget``, ``kind``, ``accuracy``, ``low`` and ``high``; rows of kind ``dense`` give the reference.
    """
    colours, budgets, traces = kind_colours(dark), list(dict.fromkeys(frame.budget)), []
    for kind, shift in (("unstructured", -0.14), ("structured", 0.14)):
        rows = frame[frame.kind == kind]
        error = {"array": rows.high - rows.accuracy, "arrayminus": rows.accuracy - rows.low}
        places = [budgets.index(budget) + shift for budget in rows.budget]
        dots = go.Scatter(
            x=rows.accuracy, y=places, error_x=error, mode="markers",
            marker={"color": colours[kind], "size": 12}, name=NAMES[kind], text=[percent(value) for value in rows.accuracy],
            hovertemplate="%{text} right<extra>" + NAMES[kind] + "</extra>",
        )  # fmt: skip
        traces += theme.intervals_over(dots, dark)
        # in front of its line, where the line of the original never is
        traces.append(_texts(places, rows.low, [percent(value) + "  " for value in rows.accuracy], "middle left"))
    fig = theme.figure(traces, dark=dark, height=120 + 84 * len(budgets), margin={"t": 46, "r": 30}, legend={"y": 1.06})
    dense = frame[frame.kind == "dense"].accuracy
    if len(dense):
        theme.reference(fig, x=float(dense.iloc[0]), text="original", colour=theme.dense(dark))
    fig.update_xaxes(title_text="test images read right", tickformat=".0%", range=up_to_all(max(0.0, float(frame.low.min()) - 0.12)))
    fig.update_yaxes(
        tickvals=list(range(len(budgets))),
        ticktext=[BUDGETS[budget] for budget in budgets],
        range=[len(budgets) - 0.45, -0.55],
        showgrid=False,
    )
    return fig


def costs_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what two copies cost as shares of the original, a row for each measure and kind.

    ``frame``: column ``kind`` (``dense``, ``unstructured`` and ``structured``), ``params``, ``macs``, ``bytes``, ``ms`` and ``accuracy``.
    """
    rows, found = frame.set_index("kind"), []
    measures = {"accuracy": "read right", "params": "weights", "macs": "multiplications", "bytes": "stored bytes", "ms": "time, 64 images"}
    for column, name in measures.items():
        for kind in ("unstructured", "structured"):
            value = float(rows.loc[kind, column])
            text = {"accuracy": percent(value), "ms": f"{value:.3g} ms", "bytes": size(value)}.get(column, count(value))
            found.append((name, kind, value / float(rows.loc["dense", column]), None, None, text))
    table = pd.DataFrame(found, columns=["measure", "kind", "share", "low", "high", "text"])
    return table.astype({"low": float, "high": float})
