"""Rows of embedding tables by popularity: how often each is looked up, and which go."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.formatting import listed, percent
from prunekit.plots import light_figure, theme

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
