"""The cut through a distribution of weights: what stays, what goes, and the threshold between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.plots import theme

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CutBins:
    """Weights in each bin, split into what stays and what goes.

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
        What stays and what goes.
    log : bool
        Logarithmic counts.
    dark : bool
        For a dark page.
    height : int
        In pixels.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    centres, widths = (bins.edges[:-1] + bins.edges[1:]) / 2, np.diff(bins.edges)
    parts = (("removed", bins.removed, theme.removed(dark, 0.75)), ("kept", bins.kept, theme.KEPT))
    traces = [
        go.Bar(
            x=centres,
            y=values,
            width=widths,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"weight %{{x:.3g}}<br>%{{y:,.0f}} {name}<extra></extra>",
        )
        for name, values, colour in parts
    ]
    fig = theme.figure(traces, dark=dark, height=height, barmode="stack", bargap=0, margin={"t": 34})
    fig.update_layout(legend={"x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "reversed"})
    fig.update_xaxes(title_text="weight", range=[float(bins.edges[0]), float(bins.edges[-1])])
    fig.update_yaxes(title_text="weights", tickformat="~s", type="log" if log else "linear")
    if bins.threshold is not None:
        _mark_threshold(fig, bins.threshold, dark)
    return fig


def _mark_threshold(fig: go.Figure, threshold: float, dark: bool) -> None:
    """Draw the threshold on both sides of zero, labelled once."""
    colour = theme.ink(dark)
    for x, text in ((-threshold, ""), (threshold, f"|w| = {threshold:.3g}")):
        theme.reference(fig, x=x, text="", colour=colour, dash="dot")
        if text:
            fig.add_annotation(
                x=x,
                y=1,
                yref="paper",
                text=text,
                showarrow=False,
                xanchor="left",
                yanchor="bottom",
                xshift=2,
                font={"size": 12, "color": colour},
            )
