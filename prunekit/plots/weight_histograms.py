"""Distributions of weights: over shared bins, one over another or side by side, and the cut through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from prunekit.formatting import percent
from prunekit.plots import light_figure, theme

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CutBins:
    """Weights in each bin, split into kept and removed.

    Attributes
    ----------
    edges : ndarray, shape [bins + 1]
        Of the bins.
    kept, removed : ndarray, shape [bins]
        Weights on either side of the cut.
    threshold : float or None
        The magnitude at the cut, where it is one number.
    """

    edges: Floats
    kept: Floats
    removed: Floats
    threshold: float | None


def cut(bins: CutBins, *, log: bool = False, dark: bool = False, height: int = 300) -> go.Figure:
    """Draw the distribution of weights with the removed part in vermilion and the threshold as a line.

    Parameters
    ----------
    bins : CutBins
        Kept and removed.
    log : bool
        Logarithmic counts.
    """
    centres, widths = (bins.edges[:-1] + bins.edges[1:]) / 2, np.diff(bins.edges)
    parts = (("removed", bins.removed, theme.removed(dark, 0.75)), ("kept", bins.kept, theme.KEPT))
    traces = [
        light_figure.bar(
            x=centres,
            y=values,
            width=widths,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"weight %{{x:.3g}}<br>%{{y:,.0f}} {name}<extra></extra>",
        )
        for name, values, colour in parts
    ]
    layout = {
        "legend": {"x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "reversed"},
        "xaxis": {"title": {"text": "weight"}, "range": [float(bins.edges[0]), float(bins.edges[-1])]},
        "yaxis": {"title": {"text": "weights"}, "tickformat": "~s", "type": "log" if log else "linear"},
        **({} if bins.threshold is None else _threshold(bins.threshold, dark)),
    }
    return theme.figure(traces, dark=dark, height=height, barmode="stack", bargap=0, margin={"t": 34}, **layout)


def _threshold(threshold: float, dark: bool) -> dict[str, object]:
    """Return lines at the threshold on both sides of zero, labelled once."""
    colour = theme.ink(dark)
    lines = [theme.line_at(colour, "dot", x=x) for x in (-threshold, threshold)]
    place = {"x": threshold, "xanchor": "left", "xshift": 2, "y": 1, "yref": "paper", "yanchor": "bottom"}
    label = {"text": f"|w| = {threshold:.3g}", "showarrow": False, "font": {"size": 12, "color": colour}}
    return {"shapes": lines, "annotations": [{**place, **label}]}


@dataclass(frozen=True)
class Bins:
    """Counts of one layer's weights over bins that other layers share.

    Attributes
    ----------
    name : str
        The layer.
    edges : ndarray, shape [bins + 1]
        The same array for every layer in a picture.
    counts : ndarray, shape [bins]
        Weights in each bin.
    mean, std : float
        Of all the layer's weights.
    """

    name: str
    edges: Floats
    counts: NDArray[np.int64]
    mean: float
    std: float


def _outline(bins: Bins, colour: str, share: bool) -> go.Scatter:
    """Return a histogram as a stepped outline; as a share of the layer's weights, so that big and small layers compare."""
    total = max(int(bins.counts.sum()), 1)
    heights = bins.counts / total if share else bins.counts
    drawn = np.concatenate([[0], np.repeat(heights, 2), [0]])
    return go.Scatter(
        x=np.repeat(bins.edges, 2),
        y=drawn,
        customdata=[percent(v, 2) for v in drawn] if share else None,
        mode="lines",
        line={"color": colour, "width": 1.8},
        fill="tozeroy",
        fillcolor=theme.fade(colour, 0.12),
        name=bins.name,
        hovertemplate=f"<b>{bins.name}</b><br>weight %{{x:.3g}}<br>"
        + ("%{customdata} of its weights" if share else "%{y:,} weights")
        + "<extra></extra>",
    )


def overlay(layers: Sequence[Bins], *, log: bool = False, dark: bool = False, height: int = 380) -> go.Figure:
    """Draw the distributions of several layers over each other, each as a share of its own weights.

    Parameters
    ----------
    layers : sequence of Bins
        With the same edges.
    log : bool
        Logarithmic counts: tails become visible.

    Returns
    -------
    plotly.graph_objects.Figure
        Mean and standard deviation of a single layer are marked.
    """
    traces = [_outline(bins, theme.run_colour(i, dark), True) for i, bins in enumerate(layers)]
    fig = theme.figure(traces, dark=dark, height=height, showlegend=len(layers) > 1)
    fig.update_xaxes(title_text="weight")
    fig.update_yaxes(title_text="share of the layer's weights", tickformat=".1~%", rangemode="tozero")
    if log:
        least = min(1 / max(int(b.counts.sum()), 1) for b in layers)
        fig.update_yaxes(type="log", range=[math.log10(least / 2), 0], exponentformat="power")
    if len(layers) == 1:
        _mark_moments(fig, layers[0], dark)
    return fig


def _mark_moments(fig: go.Figure, bins: Bins, dark: bool) -> None:
    """Mark mean and one standard deviation either side."""
    fig.add_vrect(x0=bins.mean - bins.std, x1=bins.mean + bins.std, fillcolor=theme.muted(dark), opacity=0.10, line_width=0, layer="below")
    theme.reference(fig, x=bins.mean, text=f"mean {bins.mean:.2g}, std {bins.std:.2g}", colour=theme.muted(dark), dash="dot")
    fig.update_layout(margin={"t": 28})


def multiples(layers: Sequence[Bins], *, log: bool = False, dark: bool = False, columns: int = 4) -> go.Figure:
    """Draw every layer in a small picture of its own, with the same bins and the same axes.

    Parameters
    ----------
    layers : sequence of Bins
        With the same edges.
    log : bool
        Logarithmic shares.
    columns : int
        Pictures in a row.
    """
    columns = min(columns, len(layers))
    rows = math.ceil(len(layers) / columns)
    height = 60 + 130 * rows
    fig = make_subplots(
        rows,
        columns,
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=[b.name for b in layers],
        horizontal_spacing=0.02,
        vertical_spacing=min(0.35 / rows, 34 / height),
    )
    for i, bins in enumerate(layers):
        fig.add_trace(_outline(bins, theme.KEPT, True), row=i // columns + 1, col=i % columns + 1)
    fig.update_layout(template=theme.TEMPLATES[dark], height=height, showlegend=False, margin={"t": 28}, uirevision="prunekit")
    fig.update_annotations(font={"size": 12, "color": theme.muted(dark)})
    fig.update_yaxes(tickformat=".0~%", rangemode="tozero", nticks=3)
    fig.update_xaxes(nticks=4)
    if log:
        fig.update_yaxes(type="log", exponentformat="power")
    return fig


def norms(frame: pd.DataFrame, *, dark: bool = False, height: int = 380) -> go.Figure:
    """Draw the norms of filters, sorted: where the line drops there are filters to spare.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, ``place`` (0 to 1, the share of filters with a greater norm), ``norm`` (relative to the layer's mean),
        ``filter`` (index) and ``unit`` (what it is called: filter, output, row).
    """
    traces = []
    for i, (name, rows) in enumerate(frame.groupby("layer", sort=False)):
        colour = theme.run_colour(i, dark)
        traces.append(
            go.Scatter(
                x=rows["place"],
                y=rows["norm"],
                customdata=rows["filter"],
                mode="lines+markers" if len(rows) <= 64 else "lines",
                line={"color": colour, "width": 1.8},
                marker={"size": 4},
                name=str(name),
                hovertemplate=f"<b>{name}</b><br>{rows['unit'].iloc[0]} %{{customdata}}<br>norm %{{y:.2f}} of the mean<extra></extra>",
            )
        )
    fig = theme.figure(traces, dark=dark, height=height, showlegend=len(traces) > 1, margin={"r": 26})
    fig.update_xaxes(
        title_text=f"{' or '.join(f'{unit}s' for unit in frame['unit'].unique())}, strongest first",
        tickformat=".0%",
        range=[0, 1.03],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
    )
    fig.update_yaxes(title_text="norm, relative to the layer's mean", rangemode="tozero")
    return fig
