"""Filters, channels and rows of tables: which stay, which go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.formatting import listed, percent, short
from prunekit.plots import cells, light_figure, theme


def strip(kept: Mapping[str, NDArray[np.bool_]], *, dark: bool = False) -> go.Figure:
    """Draw each layer as a strip with one cell a channel: teal stays, faded vermilion goes.

    Parameters
    ----------
    kept : mapping of str to ndarray of bool
        Layer name to one value for each original channel.
    """
    widest = max((len(values) for values in kept.values()), default=1)
    grid = np.full((len(kept), widest), np.nan)
    for row, values in enumerate(kept.values()):
        grid[row, : len(values)] = values
    trace = light_figure.heatmap(
        z=grid,
        y=list(kept),
        zmin=0,
        zmax=1,
        colorscale=[[0, theme.removed(dark, 0.45)], [1, theme.KEPT]],
        showscale=False,
        ygap=2,
        xgap=1 if widest <= 160 else 0,
        hovertemplate="<b>%{y}</b><br>channel %{x}: %{customdata}<extra></extra>",
        customdata=np.where(np.isnan(grid), "", np.where(grid == 1, "kept", "removed")),
        hoverongaps=False,
    )
    named = {"tickvals": list(kept), "ticktext": [short(name) for name in kept]}
    axes = {
        "xaxis": {"title": {"text": "channel, in the original order"}, "showgrid": False},
        "yaxis": {"autorange": "reversed", "showgrid": False, "type": "category", **named},
    }
    return theme.figure([trace], dark=dark, height=76 + max(18, min(44, 300 // max(len(kept), 1))) * len(kept), **axes)


def ranked(frame: pd.DataFrame, *, dark: bool = False, height: int = 300) -> go.Figure:
    """Draw the channels of one layer by importance, weakest first, the removed ones in vermilion.

    Parameters
    ----------
    frame : DataFrame
        Columns ``channel``, ``score`` and ``kept`` (bool).
    """
    rows = frame.sort_values("score", kind="stable").reset_index(drop=True)
    traces = []
    for kept, name, colour in ((False, "removed", theme.removed(dark, 0.75)), (True, "kept", theme.KEPT)):
        part = rows[rows["kept"] == kept]
        traces.append(
            light_figure.bar(
                x=part.index,
                y=part["score"],
                name=name,
                marker={"color": colour, "line": {"width": 0}},
                customdata=part["channel"],
                hovertemplate="channel %{customdata}<br>score %{y:.3g}<extra>" + name + "</extra>",
            )
        )
    axes = {
        "xaxis": {"title": {"text": "channels, weakest first"}, "showgrid": False},
        "yaxis": {"title": {"text": "score of the channel"}, "rangemode": "tozero"},
    }
    return theme.figure(traces, dark=dark, height=height, bargap=0.1 if len(rows) <= 160 else 0, **axes)


def matrix(weights: NDArray[np.floating], mask: NDArray[np.bool_], *, dark: bool = False, height: int = 220) -> go.Figure:
    """Draw a weight matrix: kept weights as indigo to teal, zeros as empty cells.

    Parameters
    ----------
    weights, mask : ndarray, shape [rows, columns]
        The values, and True where a value stays.
    """
    most = float(np.abs(weights).max()) or 1.0
    trace = go.Heatmap(
        z=np.where(mask, weights, np.nan),
        zmin=-most,
        zmax=most,
        colorscale=cells.signed(dark),
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="weight %{z:.3f}<extra></extra>",
        hoverongaps=False,
    )
    fig = theme.figure([trace], dark=dark, height=height, margin={"l": 0, "r": 0, "t": 0, "b": 0}, plot_bgcolor=theme.removed(dark, 0.16))
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False, autorange="reversed")
    return fig


def kernels(images: NDArray[np.floating], kept: Sequence[bool], *, columns: int = 8, dark: bool = False, height: int = 220) -> go.Figure:
    """Draw the kernels of a first layer as small pictures, those removed crossed out and faded.

    Parameters
    ----------
    images : ndarray, shape [filters, height, width]
        One plane of each filter.
    kept : sequence of bool
        Whether a filter stays.
    columns : int
        Filters in a row.
    """
    n, h, w = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    shapes: list[dict[str, object]] = []
    for i in range(n):
        top, left = (i // columns) * (h + 1), (i % columns) * (w + 1)
        canvas[top : top + h, left : left + w] = images[i]
        if not kept[i]:
            box = {"x0": left - 0.5, "x1": left + w - 0.5, "y0": top - 0.5, "y1": top + h - 0.5}
            shapes.append(
                {"type": "rect", **box, "fillcolor": theme.removed(dark, 0.55), "line": {"color": theme.removed(dark, 1), "width": 1}}
            )
            shapes.append({"type": "line", **box, "line": {"color": theme.paper(dark), "width": 1.5}})
    most = float(np.nanmax(np.abs(canvas))) or 1.0
    trace = go.Heatmap(z=canvas, zmin=-most, zmax=most, colorscale=cells.signed(dark), showscale=False, hoverinfo="skip", hoverongaps=False)
    fig = theme.figure([trace], dark=dark, height=height, margin={"l": 0, "r": 0, "t": 0, "b": 0}, shapes=shapes)
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return fig


Rows = Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]
POINTS = 200
"""At most so many points of a line, evenly spaced on a logarithmic axis."""


def row_curves(tables: Rows, *, dark: bool = False) -> go.Figure:
    """Draw a line a table, lookups against rank by lookups, on logarithmic axes; the share that goes of each stretch is shaded below."""
    traces = []
    for place, (name, (lookups, keep)) in enumerate(tables.items()):
        order = np.lexsort((~keep, -lookups))  # of equals those that stay first, so that what goes is one stretch
        ends = np.unique(np.round(np.geomspace(1, len(order), POINTS)).astype(np.int64))
        often = np.maximum(lookups[order][ends - 1], 0.5)  # a row that nobody looks up has a place on the axis, below one lookup
        gone = np.add.reduceat((~keep[order]).astype(np.float64), np.r_[0, ends[:-1]]) / np.diff(np.r_[0, ends])
        colour = theme.run_colour(place, dark)
        shade = np.where(gone >= 0.5, often, np.nan)
        if len(tables) == 1 or np.isfinite(shade).any():
            runs = np.flatnonzero(np.isfinite(shade))
            for run in np.split(runs, np.flatnonzero(np.diff(runs) > 1) + 1) if runs.size else []:
                traces.append(
                    light_figure.scatter(
                        x=np.r_[ends[run], ends[run][::-1]], y=np.r_[often[run], np.full(len(run), 0.5)], fill="toself", mode="lines",
                        fillcolor=theme.removed(dark, 0.3), line={"width": 0}, hoverinfo="skip", showlegend=False,
                    )
                )  # fmt: skip
        told = np.column_stack([np.floor(often), gone * 100])
        traces.append(
            light_figure.scatter(
                x=ends, y=often, mode="lines", name=name, line={"color": colour, "width": 2}, customdata=told,
                hovertemplate="row %{x:,} by lookups: %{customdata[0]:,.0f} lookups, %{customdata[1]:.0f} % of its like go"
                f"<extra>{name}</extra>",
            )
        )  # fmt: skip
    axes = {"xaxis": {"type": "log", "dtick": 1, "title": {"text": "rank of a row by lookups"}}}
    axes |= {"yaxis": {"type": "log", "dtick": 1, "title": {"text": "lookups in training data"}}}
    return theme.figure(traces, dark=dark, height=340, showlegend=len(tables) > 1, **axes)


def rows_caption(tables: Rows) -> str:
    """Say how many rows of each table go, and what share of its lookups they had."""
    told = []
    for name, (often, keep) in tables.items():
        share = percent(float(often[~keep].sum() / (often.sum() or 1)))
        told.append(f"**{name}** loses {int((~keep).sum()):,} of {keep.size:,} rows, which had {share} of its lookups")
    return f"{listed(told)} (counted over all training samples). Ids that lost their row share one. Shaded: where most rows go."
