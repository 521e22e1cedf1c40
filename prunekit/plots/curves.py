"""Accuracy against sparsity: lines with bands, the dense model as a dashed line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from prunekit.plots import theme
from prunekit.plots.text import percent


def accuracy_curves(
    frame: pd.DataFrame, *, dense: float | None = None, names: Sequence[str] = (), dark: bool = False, height: int = 440
) -> go.Figure:
    """Draw accuracy against achieved sparsity, one line a setting, with 95 % intervals as bands.

    Parameters
    ----------
    frame : DataFrame
        Columns ``setting``, ``sparsity``, ``requested``, ``value``, ``low``, ``high``, ``n``, ``macs`` (share of the dense
        model's); points of a setting in any order.
    dense : float, optional
        Accuracy of the dense model.
    names : sequence of str, optional
        Settings in the order of their colours, so that a colour stays with its setting while points arrive.
    dark : bool
        For a dark page.
    height : int
        In pixels.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    order = list(names) or list(dict.fromkeys(frame["setting"]))
    traces: list[object] = []
    for place, name in enumerate(order):
        rows = frame[frame["setting"] == name].sort_values("sparsity")
        if len(rows):
            traces += [_band(rows, theme.run_colour(place, dark)), _line(rows, name, theme.run_colour(place, dark))]
    fig = theme.figure(traces, dark=dark, height=height, hovermode="closest", margin={"t": 30, "r": 12})
    fig.update_xaxes(title_text="sparsity (share removed)", tickformat=".0%", range=[-0.02, 1.03], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 0.9, 1])
    fig.update_yaxes(title_text="accuracy", tickformat=".0%", range=[0, 1.02])
    if dense is not None:
        theme.reference(fig, y=dense, text=f"dense {percent(dense)}", colour=theme.dense(dark))
    if len(order) <= 4:
        fig.update_layout(showlegend=False)
        _direct_labels(fig, frame, order, dark)
    return fig


def _line(rows: pd.DataFrame, name: str, colour: str) -> go.Scatter:
    """Return the measured points of one setting."""
    return go.Scatter(
        x=rows["sparsity"],
        y=rows["value"],
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"size": 7},
        name=name,
        customdata=rows[["requested", "low", "high", "n", "macs"]],
        hovertemplate=(
            f"<b>{name}</b><br>removed %{{x:.1%}} (requested %{{customdata[0]:.1%}})<br>accuracy %{{y:.1%}}, 95 % "
            f"interval %{{customdata[1]:.1%}} to %{{customdata[2]:.1%}}"
            "<br>n = %{customdata[3]:,}, effective MACs %{customdata[4]:.1%} of dense<extra></extra>"
        ),
    )


def _band(rows: pd.DataFrame, colour: str) -> go.Scatter:
    """Return the interval as a band around the line."""
    return go.Scatter(
        x=[*rows["sparsity"], *rows["sparsity"][::-1]],
        y=[*rows["high"], *rows["low"][::-1]],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=theme.fade(colour, 0.16),
        hoverinfo="skip",
        showlegend=False,
    )


def _direct_labels(fig: go.Figure, frame: pd.DataFrame, order: Sequence[str], dark: bool) -> None:
    """Write each setting's name beside its line where the lines are furthest apart, one height a setting."""
    for place, name in enumerate(order):
        if not (frame["setting"] == name).any():
            continue
        y = 0.03 + 0.062 * (len(order) - 1 - place)
        label = {"text": f"<b>—</b> {name}", "font": {"color": theme.run_colour(place, dark), "size": 13}, "showarrow": False}
        fig.add_annotation(x=0.01, xref="paper", xanchor="left", y=y, yref="paper", yanchor="bottom", **label)


def thumbnail_curve(frame: pd.DataFrame, *, dense: float, dark: bool = False, height: int = 220) -> go.Figure:
    """Draw one curve small, for the Start page: it holds, then breaks.

    Parameters
    ----------
    frame : DataFrame
        Columns ``sparsity``, ``value``, ``low``, ``high``.
    dense : float
        Accuracy of the dense model.
    dark : bool
        For a dark page.
    height : int
        In pixels.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    rows = frame.sort_values("sparsity")
    line = go.Scatter(
        x=rows["sparsity"],
        y=rows["value"],
        mode="lines+markers",
        line={"color": theme.KEPT, "width": 2},
        marker={"size": 6},
        hovertemplate="removed %{x:.0%}<br>accuracy %{y:.1%}<extra></extra>",
    )
    fig = theme.figure([_band(rows, theme.KEPT), line], dark=dark, height=height, showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    fig.update_xaxes(tickformat=".0%", range=[-0.02, 1.08], tickvals=[0, 0.5, 1], title_text="share of the weights removed")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.06], tickvals=[0, 0.5, 1])
    theme.reference(fig, y=dense, colour=theme.dense(dark))
    return fig
