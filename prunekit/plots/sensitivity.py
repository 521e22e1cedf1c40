"""Sensitivity: a small curve for each layer, and all layers as a heat map beside their cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import lost, percent, reached, short, span
from prunekit.plots import theme

COLUMNS = 5
PANEL = 118  # pixels a row of panels
SEEN, LITTLE = 0.0005, 0.01  # of accuracy: what is shown has one decimal of a point; and what hardly counts


def sensitivity_panels(
    frame: pd.DataFrame,
    *,
    dense: float,
    threshold: float | None = None,
    fragile: Collection[str] = (),
    targets: dict[str, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw accuracy against sparsity for each layer pruned alone: small multiples on the same axes.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, ``requested``, ``sparsity``, ``value``, ``low``, ``high``; layers in the order of depth.
    dense : float
        Accuracy of the dense model.
    threshold : float, optional
        Accuracy that should not be undercut, drawn in every panel.
    fragile : collection of str
        Layers to mark.
    targets : dict of str to float, optional
        Suggested sparsity by layer, marked on its curve's axis.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    layers = list(dict.fromkeys(frame["layer"]))
    columns = min(COLUMNS, max(len(layers), 1))
    rows = math.ceil(len(layers) / columns) or 1
    height = rows * PANEL + 60
    fig = make_subplots(
        rows, columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=[short(name, 22) for name in layers],
        horizontal_spacing=0.022, vertical_spacing=min(0.09, 30 / height),
    )  # fmt: skip
    fig.update_layout(**_look(dark, height), showlegend=False, margin={"t": 24, "l": 8, "r": 8, "b": 8})
    for place, name in enumerate(layers):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        colour = theme.removed(dark, 1.0) if name in fragile else theme.KEPT
        fig.add_traces(_curve(frame[frame["layer"] == name], name, dense, colour), rows=where["row"], cols=where["col"])
        if targets and targets.get(name):
            fig.add_trace(_target(targets[name], _range(frame, dense)[0], dark), **where)
    _lines(fig, dense, threshold, dark)
    # no mark at the ends: 100 % of one panel would run into 0 % of the next
    fig.update_xaxes(range=[0, 1.02], tickvals=[0.25, 0.5, 0.75], tickformat=".0%", showticklabels=False)
    for place in range(max(len(layers) - columns, 0), len(layers)):  # the lowest panel of each column
        fig.update_xaxes(showticklabels=True, row=place // columns + 1, col=place % columns + 1)
    fig.update_yaxes(range=_range(frame, dense), nticks=4, tickformat=".0%")
    fig.update_annotations(font={"size": 12, "color": theme.ink(dark)}, selector={"yanchor": "bottom"})
    return fig


def _look(dark: bool, height: int) -> dict[str, object]:
    """Return what `theme.figure` gives every figure."""
    return {"template": "prunekit_dark" if dark else "prunekit", "height": height, "uirevision": "prunekit"}


def _range(frame: pd.DataFrame, dense: float) -> list[float]:
    """Return the range of accuracies that all panels share."""
    low = float(frame["low"].min()) if len(frame) else 0.0
    span = max(dense - low, 0.02)
    return [max(0.0, low - 0.06 * span), min(1.02, dense + 0.12 * span)]


def _curve(rows: pd.DataFrame, name: str, dense: float, colour: str) -> list[go.Scatter]:
    """Return the band and the line of one layer, beginning at the dense model."""
    rows = rows.sort_values("sparsity")
    x = [0.0, *rows["sparsity"]]
    y, low, high = ([dense, *rows[column]] for column in ("value", "low", "high"))
    said = [("nothing removed", percent(dense), "")]
    for _, r in rows.iterrows():
        said.append(
            (f"removed: {reached(r['requested'], r['sparsity'])}", percent(r["value"]), f", 95 % interval {span(r['low'], r['high'])}")
        )
    band = go.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], mode="lines", line={"width": 0}, fill="toself", fillcolor=theme.fade_any(colour, 0.16),
        hoverinfo="skip",
    )  # fmt: skip
    line = go.Scatter(
        x=x, y=y, mode="lines+markers", line={"color": colour, "width": 2}, marker={"size": 4}, name=name,
        customdata=said,
        hovertemplate=f"<b>{name}</b> alone<br>%{{customdata[0]}}<br>accuracy %{{customdata[1]}}%{{customdata[2]}}<extra></extra>",
    )  # fmt: skip
    return [band, line]


def _target(sparsity: float, floor: float, dark: bool) -> go.Scatter:
    """Return the mark of a suggested target."""
    marker = {"symbol": "triangle-up", "size": 11, "color": theme.ink(dark)}
    said = f"suggested: remove {percent(sparsity)}<extra></extra>"
    return go.Scatter(x=[sparsity], y=[floor], mode="markers", marker=marker, cliponaxis=False, hovertemplate=said)


def _lines(fig: go.Figure, dense: float, threshold: float | None, dark: bool) -> None:
    """Draw the dense model and the threshold in every panel."""
    fig.add_hline(y=dense, line={"color": theme.dense(dark), "width": 1, "dash": "dash"}, exclude_empty_subplots=True)
    if threshold is not None:
        fig.add_hline(y=threshold, line={"color": theme.removed(dark, 0.9), "width": 1, "dash": "dot"}, exclude_empty_subplots=True)


def sensitivity_map(frame: pd.DataFrame, costs: pd.DataFrame, *, dense: float, dark: bool = False) -> go.Figure:
    """Draw what each layer costs in accuracy at each sparsity, with its parameters and MACs on the same rows.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, ``requested``, ``sparsity``, ``value``; layers in the order of depth.
    costs : DataFrame
        Columns ``layer``, ``params``, ``macs``.
    dense : float
        Accuracy of the dense model.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    layers = list(dict.fromkeys(frame["layer"]))
    table = frame.pivot_table(index="layer", columns="requested", values=["value", "sparsity"], sort=True).reindex(layers)
    height = 74 + len(layers) * max(19, min(44, 420 // max(len(layers), 1)))
    titles = ["Points of accuracy lost, by the share that was asked for", "Parameters", "MACs"]
    fig = make_subplots(1, 3, shared_yaxes=True, column_widths=[0.64, 0.18, 0.18], horizontal_spacing=0.02, subplot_titles=titles)
    fig.update_layout(**_look(dark, height), showlegend=False, margin={"t": 28, "l": 8, "r": 8, "b": 8}, bargap=0.25)
    fig.add_trace(_cells(table, dense, dark), row=1, col=1)
    known = costs.set_index("layer").reindex(layers)
    for place, (column, unit) in enumerate((("params", "parameters"), ("macs", "MACs")), start=2):
        fig.add_trace(_bar(known[column], unit, dark), row=1, col=place)
    fig.update_yaxes(autorange="reversed", tickvals=layers, ticktext=[short(name) for name in layers], showgrid=False)
    fig.update_xaxes(showgrid=False, row=1, col=1, tickformat=".0%", tickvals=list(table["value"].columns))
    fig.update_xaxes(row=1, col=2, tickformat="~s", nticks=4)
    fig.update_xaxes(row=1, col=3, tickformat="~s", nticks=4)
    fig.update_annotations(font={"size": 12, "color": theme.muted(dark)})
    return fig


def _cells(table: pd.DataFrame, dense: float, dark: bool) -> go.Heatmap:
    """Return the heat map; lost points are written into the cells where there is room."""
    values, shares = table["value"], table["sparsity"]
    gap = np.asarray(dense - values.to_numpy(dtype=float))
    few = values.shape[0] <= 40 and values.shape[1] <= 12
    scale = [[place, theme.faded(dark, opacity)] for place, opacity in ((0.0, 0.0), (0.12, 0.28), (1.0, 0.76 if dark else 1.0))]
    text = [["" if np.isnan(v) else lost(v) for v in row] for row in gap]
    said = [
        [("", "") if np.isnan(v) else (reached(float(wanted), s), percent(v)) for wanted, s, v in zip(values.columns, *rows, strict=True)]
        for rows in zip(shares.to_numpy(dtype=float), values.to_numpy(dtype=float), strict=True)
    ]
    return go.Heatmap(
        x=list(values.columns), y=list(values.index), z=gap, zmin=0.0, zmax=max(0.05, float(np.nanmax(gap)) if gap.size else 0.05),
        colorscale=scale, showscale=False, xgap=2, ygap=2, text=text, texttemplate="%{text}" if few else None,
        textfont={"size": 11}, customdata=said,
        hovertemplate="<b>%{y}</b> alone, removed: %{customdata[0]}<br>accuracy %{customdata[1]}, points lost: %{text}<extra></extra>",
        hoverongaps=False,
    )  # fmt: skip


def _bar(values: pd.Series, unit: str, dark: bool) -> go.Bar:
    """Return one cost as bars on the rows of the heat map."""
    return go.Bar(
        x=values, y=list(values.index), orientation="h", marker={"color": theme.dense(dark), "line": {"width": 0}},
        hovertemplate=f"<b>%{{y}}</b>: %{{x:,}} {unit}<extra></extra>",
    )  # fmt: skip


def sensitivity_caption(lost_by: Mapping[str, float], fragile: Sequence[str]) -> str:
    """Say which layer gives way first and which hardly notices.

    Parameters
    ----------
    lost_by : mapping of str to float
        Layer to accuracy lost on average over its points, 0..1 (:attr:`prunekit.evaluation.sensitivity.drop_curves.DropCurve.mean`).
    fragile : sequence of str
        Layers named as fragile.
    """
    if not lost_by:
        return "Points follow."
    worst, best = max(lost_by, key=lost_by.__getitem__), min(lost_by, key=lost_by.__getitem__)
    most, least = lost_by[worst], lost_by[best]
    if most < SEEN:
        text = "No layer loses accuracy when it is pruned alone, on average over its points."
    elif len(lost_by) > 1 and most - least < SEEN:
        text = f"All layers lose about the same when pruned alone: {lost(most)} points of accuracy on average over their points."
    else:
        text = f"**{worst}** gives way first: pruned alone it loses {lost(most)} points of accuracy on average over its points."
        words = "hardly notices" if least < LITTLE else "loses least"
        text += f" **{best}** {words} ({lost(least)})." if best != worst else ""
    if fragile:
        text += f" Unusually fragile: {', '.join(fragile)}."
    return text
