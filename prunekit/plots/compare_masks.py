"""Masks of runs laid over each other: what both keep, for every pair at a glance, and layer by layer beside what chance would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.comparison.layers import ALL
from prunekit.formatting import percent, short
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour
from prunekit.plots.layer_bars import MOST_NAMED


def totals(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all layers together, one a pair."""
    return frame[frame["layer"] == ALL]


def overlap_matrix(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw how much of what either keeps both keep, for every pair of runs.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`totals`.

    Returns
    -------
    plotly.graph_objects.Figure
        A square of letters; a click gives both letters.
    """
    pairs = totals(frame)
    letters = sorted(set(pairs["first"]) | set(pairs["second"]))
    table = pd.DataFrame(np.eye(len(letters)), letters, letters)
    for row in pairs.itertuples():
        table.loc[row.first, row.second] = table.loc[row.second, row.first] = row.jaccard
    values = table.to_numpy(copy=True)
    np.fill_diagonal(values, np.nan)
    words = [["" if np.isnan(v) else f"<b>{percent(v, 0)}</b>" for v in row] for row in values]
    trace = go.Heatmap(
        z=values, x=letters, y=letters, text=words, texttemplate="%{text}", zmin=0, zmax=1, showscale=False, xgap=3, ygap=3,
        colorscale=[[0, theme.grid(dark)], [1, theme.KEPT]], hoverongaps=False,
        customdata=[["" if np.isnan(v) else percent(v) for v in row] for row in values],
        hovertemplate="both %{y} and %{x} keep %{customdata} of what either keeps<extra></extra>",
    )  # fmt: skip
    fig = theme.figure([trace], dark=dark, height=90 + 52 * len(letters), margin={"t": 56})
    labels = [f'<span style="color:{letter_colour(letter, dark)}"><b>{letter}</b></span>' for letter in letters]
    fig.update_xaxes(side="top", showgrid=False, type="category", tickvals=letters, ticktext=labels)
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category", tickvals=letters, ticktext=labels)
    return fig


def overlap_by_layer(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw what both of two runs keep over what either keeps, layer by layer, with a mark at what chance would give.

    Parameters
    ----------
    frame : DataFrame
        Rows of one pair, layers in the order of depth; columns as for :func:`totals`. The row of all layers together is left out.

    Returns
    -------
    plotly.graph_objects.Figure
        Trace ``both keep`` and trace ``by chance``.
    """
    frame = frame[frame["layer"] != ALL]
    flat = len(frame) <= MOST_NAMED
    look = {"symbol": "line-ns" if flat else "line-ew", "size": 13, "line": {"width": 2, "color": theme.ink(dark)}}
    told = "%{customdata[0]:,} kept by both, %{customdata[1]:,} by either<extra></extra>"
    data = frame[["both", "either"]].to_numpy()
    bar = go.Bar(
        **_along(frame["jaccard"], frame["layer"], flat), orientation="h" if flat else "v", name="both keep", customdata=data,
        marker={"color": theme.KEPT}, hovertemplate=f"<b>%{{{'y' if flat else 'x'}}}</b><br>{told}",
    )  # fmt: skip
    chance = go.Scatter(**_along(frame["expected"], frame["layer"], flat), mode="markers", name="by chance", marker=look, hoverinfo="skip")
    fig = theme.figure([bar, chance], dark=dark, height=100 + 28 * len(frame) if flat else 360, bargap=0.35)
    share = {"range": [0, 1.02], "tickformat": ".0%", "title_text": "kept by both, of what either keeps"}
    layers = list(frame["layer"])
    if flat:
        fig.update_xaxes(**share)
        fig.update_yaxes(autorange="reversed", showgrid=False, type="category", tickvals=layers, ticktext=[short(n) for n in layers])
    else:
        fig.update_yaxes(**share)
        fig.update_xaxes(showticklabels=False, showgrid=False, type="category", title_text="layers, from input to output")
    return fig


def _along(values: pd.Series, layers: pd.Series, flat: bool) -> dict[str, pd.Series]:
    """Return coordinates, lying or upright."""
    return {"x": values, "y": layers} if flat else {"x": layers, "y": values}


def overlap_caption(frame: pd.DataFrame) -> str:
    """Say which runs have the most kept weights in common, and whether that is more than chance.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`totals`.
    """
    if frame.empty:
        return "Nothing to lay over each other: none of these runs removed anything."
    pairs = totals(frame).sort_values("jaccard", ascending=False)
    best, worst = pairs.iloc[0], pairs.iloc[-1]
    apart = worst["jaccard"] < best["jaccard"]
    text = (
        f"{best['first']} and {best['second']} agree{' most' if apart else ''}: {percent(best['jaccard'])} of what either keeps is kept by "
        f"both; chance would give {percent(best['expected'])}."
    )
    if apart:
        text += f" {worst['first']} and {worst['second']} agree least ({percent(worst['jaccard'])})."
    return text
