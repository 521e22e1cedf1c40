"""The cut through a distribution of weights: what stays, what goes, and the threshold between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.plots import light_figure, theme

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
