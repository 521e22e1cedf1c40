"""Sensitivity: a small curve for each layer, and all layers as a heat map beside their cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import percent, reached, shorts
from prunekit.plots import theme
from prunekit.plots.quality_axis import most_shown, quality_range, tick_form
from prunekit.plots.quality_curves import with_interval
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.wording import alike, capital, loses, loss_number, lost_of, written

COLUMNS = 5
PANEL = 118  # pixels a row of panels
SEEN, LITTLE = 0.0005, 0.01  # of a share, or of the dense value: what is shown has one decimal of a point; and what hardly counts


def sensitivity_panels(
    frame: pd.DataFrame,
    *,
    dense: float,
    threshold: float | None = None,
    fragile: Collection[str] = (),
    targets: dict[str, float] | None = None,
    metric: Metric = ACCURACY,
    chance: float | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw quality against sparsity for each layer pruned alone: small multiples on the same axes.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, ``requested``, ``sparsity``, ``value``, ``low``, ``high``, and maybe ``seen``: what else is said of a point;
        layers in the order of depth.
    dense : float
        Value of the dense model.
    threshold : float, optional
        The worst value that is allowed, drawn in every panel.
    fragile : collection of str
        Layers to mark.
    targets : dict of str to float, optional
        Suggested sparsity by layer, marked on its curve's axis.
    metric : Metric
        What was measured.
    chance : float, optional
        As for `quality_curves`.
    """
    layers = list(dict.fromkeys(frame["layer"]))
    columns = min(COLUMNS, max(len(layers), 1))
    rows = math.ceil(len(layers) / columns) or 1
    height = rows * PANEL + 60
    fig = make_subplots(
        rows, columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=shorts(layers, 22),
        horizontal_spacing=0.022, vertical_spacing=min(0.09, 30 / height),
    )  # fmt: skip
    fig.update_layout(**_look(dark, height), showlegend=False, margin={"t": 24, "l": 8, "r": 8, "b": 8})
    shown = quality_range(metric, frame[["value", "low", "high"]].to_numpy(dtype=float).ravel(), dense, chance=chance)
    for place, name in enumerate(layers):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        colour = theme.removed(dark, 1.0) if name in fragile else theme.KEPT
        fig.add_traces(_curve(frame[frame["layer"] == name], name, dense, colour, metric), rows=where["row"], cols=where["col"])
        if targets and targets.get(name):
            fig.add_trace(_target(targets[name], shown[0], dark), **where)
    _lines(fig, dense, threshold, dark)
    # no mark at the ends: 100 % of one panel would run into 0 % of the next
    fig.update_xaxes(range=[0, 1.02], tickvals=[0.25, 0.5, 0.75], tickformat=".0%", showticklabels=False)
    for place in range(max(len(layers) - columns, 0), len(layers)):  # the lowest panel of each column
        fig.update_xaxes(showticklabels=True, row=place // columns + 1, col=place % columns + 1)
    fig.update_yaxes(range=shown, nticks=4, tickformat=tick_form(metric))
    fig.update_annotations(font={"size": 12, "color": theme.ink(dark)}, selector={"yanchor": "bottom"})
    return fig


def _look(dark: bool, height: int) -> dict[str, object]:
    """Return what `theme.figure` gives every figure."""
    return {"template": "prunekit_dark" if dark else "prunekit", "height": height, "uirevision": "prunekit"}


def _curve(rows: pd.DataFrame, name: str, dense: float, colour: str, metric: Metric) -> list[go.Scatter]:
    """Return the band and the line of one layer, beginning at the dense model."""
    rows = rows.sort_values("sparsity")
    x = [0.0, *rows["sparsity"]]
    y, low, high = ([dense, *rows[column]] for column in ("value", "low", "high"))
    said = [("nothing removed", written(metric, dense))]
    said += [
        (
            f"removed: {reached(r['requested'], r['sparsity'])}",
            ", ".join(filter(None, (with_interval(metric, r["value"], r["low"], r["high"]), r.get("seen", "")))),
        )
        for _, r in rows.iterrows()
    ]
    band = go.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], mode="lines", line={"width": 0}, fill="toself", fillcolor=theme.fade_any(colour, 0.16),
        hoverinfo="skip",
    )  # fmt: skip
    line = go.Scatter(
        x=x, y=y, mode="lines+markers", line={"color": colour, "width": 2}, marker={"size": 4}, name=name,
        customdata=said,
        hovertemplate=f"<b>{name}</b> alone<br>%{{customdata[0]}}<br>{metric.phrase} %{{customdata[1]}}<extra></extra>",
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


def sensitivity_map(frame: pd.DataFrame, costs: pd.DataFrame, *, dense: float, metric: Metric = ACCURACY, dark: bool = False) -> go.Figure:
    """Draw what each layer costs in quality at each sparsity, with its parameters and MACs on the same rows.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, ``requested``, ``sparsity``, ``value``, and maybe ``lost``: against the dense model on a point's own samples;
        layers in the order of depth.
    costs : DataFrame
        Columns ``layer``, ``params``, ``macs``.
    dense : float
        Value of the dense model.
    metric : Metric
        What was measured.
    """
    layers = list(dict.fromkeys(frame["layer"]))
    frame = frame if "lost" in frame else frame.assign(lost=metric.loss(dense, frame["value"]))  # type: ignore[arg-type]
    table = frame.pivot_table(index="layer", columns="requested", values=["value", "sparsity", "lost"], sort=True).reindex(layers)
    height = 74 + len(layers) * max(19, min(44, 420 // max(len(layers), 1)))
    titles = [f"{capital(lost_of(metric))}, by the share that was asked for", "Parameters", "MACs"]
    fig = make_subplots(1, 3, shared_yaxes=True, column_widths=[0.64, 0.18, 0.18], horizontal_spacing=0.045, subplot_titles=titles)
    fig.update_layout(**_look(dark, height), showlegend=False, margin={"t": 28, "l": 8, "r": 8, "b": 8}, bargap=0.25)
    fig.add_trace(_cells(table, dense, metric, dark), row=1, col=1)
    known = costs.set_index("layer").reindex(layers)
    for place, (column, unit) in enumerate((("params", "parameters"), ("macs", "MACs")), start=2):
        fig.add_trace(_bar(known[column], unit, dark), row=1, col=place)
    fig.update_yaxes(autorange="reversed", tickvals=layers, ticktext=shorts(layers), showgrid=False)
    fig.update_xaxes(showgrid=False, row=1, col=1, tickformat=".0%", tickvals=list(table["value"].columns))
    fig.update_xaxes(row=1, col=2, tickformat="~s", nticks=4)
    fig.update_xaxes(row=1, col=3, tickformat="~s", nticks=4)
    fig.update_annotations(font={"size": 12, "color": theme.muted(dark)})
    return fig


def _cells(table: pd.DataFrame, dense: float, metric: Metric, dark: bool) -> go.Heatmap:
    """Return the heat map; lost points are written into the cells where there is room."""
    values, shares = table["value"], table["sparsity"]
    gap = table["lost"].to_numpy(dtype=float)
    least = 0.05 if metric.unit == PERCENT else 0.05 * abs(dense) or 1.0
    far = float(np.nanmax(gap)) if gap.size and np.isfinite(gap).any() else least
    if metric.unit != PERCENT:  # one layer that breaks would leave all others white
        far = min(far, most_shown(metric, gap, dense))
    few = values.shape[0] <= 40 and values.shape[1] <= 12
    scale = [[place, theme.faded(dark, opacity)] for place, opacity in ((0.0, 0.0), (0.12, 0.28), (1.0, 0.76 if dark else 1.0))]
    shown = alike(metric, dense)
    text = [["" if np.isnan(v) else loss_number(shown, v) for v in row] for row in gap]
    said = [
        [
            ("", "") if np.isnan(v) else (reached(float(wanted), s), written(metric, v))
            for wanted, s, v in zip(values.columns, *rows, strict=True)
        ]
        for rows in zip(shares.to_numpy(dtype=float), values.to_numpy(dtype=float), strict=True)
    ]
    hover = f"{metric.phrase} %{{customdata[1]}}, {lost_of(metric)}: %{{text}}<extra></extra>"
    return go.Heatmap(
        x=list(values.columns), y=list(values.index), z=gap, zmin=0.0, zmax=max(least, far),
        colorscale=scale, showscale=False, xgap=2, ygap=2, text=text, texttemplate="%{text}" if few else None,
        textfont={"size": 11}, customdata=said,
        hovertemplate="<b>%{y}</b> alone, removed: %{customdata[0]}<br>" + hover,
        hoverongaps=False,
    )  # fmt: skip


def _bar(values: pd.Series, unit: str, dark: bool) -> go.Bar:
    """Return one cost as bars on the rows of the heat map."""
    return go.Bar(
        x=values, y=list(values.index), orientation="h", marker={"color": theme.dense(dark), "line": {"width": 0}},
        hovertemplate=f"<b>%{{y}}</b>: %{{x:,}} {unit}<extra></extra>",
    )  # fmt: skip


def sensitivity_caption(lost_by: Mapping[str, float], fragile: Sequence[str], metric: Metric = ACCURACY, dense: float = 1.0) -> str:
    """Say which layer gives way first and which hardly notices.

    Parameters
    ----------
    lost_by : mapping of str to float
        Layer to quality lost on average over its points (:attr:`prunekit.evaluation.sensitivity.drop_curves.DropCurve.mean`).
    fragile : sequence of str
        Layers named as fragile.
    metric : Metric
        What is lost.
    dense : float
        Value of the dense model: what hardly counts of a metric that is no share is measured by it.
    """
    scale = 1.0 if metric.unit == PERCENT else abs(dense) or 1.0
    seen, little = SEEN * scale, LITTLE * scale
    if not lost_by:
        return "Points follow."
    worst, best = max(lost_by, key=lost_by.__getitem__), min(lost_by, key=lost_by.__getitem__)
    most, least = lost_by[worst], lost_by[best]
    if most < seen:
        verb = "loses" if metric.better == HIGHER else "raises"
        text = f"No layer {verb} {metric.phrase} when it is pruned alone, on average over its points."
    elif len(lost_by) > 1 and most - least < seen:
        text = f"All layers do about the same when pruned alone: each {loses(metric, most)} on average over its points."
    else:
        text = f"**{worst}** gives way first: pruned alone it {loses(metric, most)} on average over its points."
        words = "hardly notices" if least < little else "loses least" if metric.better == HIGHER else "raises it least"
        text += f" **{best}** {words} ({loss_number(metric, least)})." if best != worst else ""
    if fragile:
        text += f" Unusually fragile: {', '.join(fragile)}."
    return text
