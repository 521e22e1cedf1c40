"""Quality against sparsity: lines with bands, the dense model as a dashed line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.formatting import percent, reached
from prunekit.plots import theme
from prunekit.plots.quality_axis import axis, axis_title, log_ticks, quality_range, spans_decades
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.wording import interval, worse_by, written


@dataclass(frozen=True)
class Axis:
    """One way of saying how much was removed."""

    title: str  # of the axis, with its unit
    form: str
    log: bool = False  # whether the scale is logarithmic
    smaller: bool = True  # whether a smaller value means more was removed


AXES = {
    "sparsity": Axis("sparsity (share removed)", ".1%", smaller=False),
    "ratio": Axis("compression ratio (parameters before / after, log scale)", ".3~g", log=True, smaller=False),
    "params": Axis("parameters that are not zero", ".3~s"),
    "macs": Axis("effective MACs, share of dense", ".1%"),
    "bytes": Axis("size of the file (zeros: best sparse format; smaller network: as it is)", ".3~s"),
}


def quality_curves(
    frame: pd.DataFrame,
    *,
    x: str = "sparsity",
    dense: float | None = None,
    drop: bool = False,
    within: float | None = None,
    names: Sequence[str] = (),
    metric: Metric = ACCURACY,
    chance: float | None = None,
    dark: bool = False,
    height: int = 460,
) -> go.Figure:
    """Draw quality against what was removed, one line a setting, with 95 % intervals as bands.

    Parameters
    ----------
    frame : DataFrame
        Columns ``setting``, ``requested``, ``sparsity``, ``ratio``, ``params``, ``macs`` (share of the dense model's), ``bytes``,
        ``value``, ``low``, ``high``, ``n``, and ``about`` (the whole setting in words); points of a setting in any order. With
        ``least`` and ``most``, values over several seeds, the spread is drawn too (NaN where there is one seed).
    x : {"sparsity", "ratio", "params", "macs", "bytes"}
        What is on the x-axis.
    dense : float, optional
        Value of the dense model.
    drop : bool
        Whether the y-axis is the change from the dense model instead of the value.
    within : float, optional
        A loss to mark, in the metric's own unit (of a share 0 to 1).
    names : sequence of str, optional
        Settings in the order of their colours, so that a colour stays with its setting while points arrive.
    metric : Metric
        What was measured: its name, unit, and which way is better.
    chance : float, optional
        What the best answer that does not look at the input reaches: of a metric without bounds the picture ends there.

    Returns
    -------
    plotly.graph_objects.Figure
        A click on a point gives its setting's place in ``names`` and its requested sparsity in ``customdata[0:2]``.
    """
    order = list(names) or list(dict.fromkeys(frame["setting"]))
    base = dense if drop and dense is not None else 0.0
    shown = frame.assign(**{column: frame[column] - base for column in ("value", "low", "high", "least", "most") if column in frame})
    traces: list[object] = []
    if len(order) > 1:
        traces.append(_front(shown, x, metric, dark))
    for place, name in enumerate(order):
        rows = shown[shown["setting"] == name].sort_values(x)
        if len(rows):
            colour = theme.run_colour(place, dark)
            traces += [_band(rows, colour, x), *_spread(rows, colour, x), _line(rows, place, x, dark, metric=metric, base=base)]
    fig = theme.figure(traces, dark=dark, height=height, hovermode="closest", margin={"t": 30, "r": 12})
    _axes(fig, x, frame[x].to_numpy(dtype=float))
    known = frame[["value", "low", "high"]].to_numpy(dtype=float).ravel()
    log = not base and spans_decades(metric, known)
    fig.update_yaxes(**_up(metric, base))
    if log:
        fig.update_yaxes(**log_ticks(known), title_text=f"{axis_title(metric)}, log scale")
    elif metric.unit == PERCENT:
        fig.update_yaxes(range=None if base else [0, 1.02])
    elif dense is not None:
        fig.update_yaxes(range=[end - base for end in quality_range(metric, known, dense, chance=chance)])
    if dense is not None:
        theme.reference(fig, y=dense - base, text=f"dense {written(metric, dense)}", colour=theme.dense(dark))
        if within:
            y = worse_by(metric, dense - base, within)
            theme.reference(fig, y=y, text="", colour=theme.removed(dark, 0.8), dash="dot")
            fig.add_annotation(
                x=0, xref="paper", xanchor="left", y=math.log10(y) if log else y, yanchor="top" if metric.better == HIGHER else "bottom",
                text=f"at most {allowed(metric, within)}", showarrow=False, font={"color": theme.removed(dark, 1.0), "size": 12},
            )  # fmt: skip
    if len(order) <= 4:
        fig.update_layout(showlegend=False)
        _direct_labels(fig, frame, order, dark, right=AXES[x].smaller, top=metric.better != HIGHER)
    return fig


def allowed(metric: Metric, loss: float) -> str:
    """Return a loss that is allowed: ``1 point lost``, ``0.5 kWh added``."""
    points = f"{100 * loss:.3g} point{'' if round(100 * loss, 6) == 1 else 's'}"
    return f"{points if metric.unit == PERCENT else metric.format(loss)} {'lost' if metric.better == HIGHER else 'added'}"


def _axes(fig: go.Figure, x: str, values: NDArray[np.float64]) -> None:
    """Give the x-axis its title, unit and range."""
    axis = AXES[x]
    form = ".0%" if axis.form.endswith("%") else "~s" if axis.form.endswith("s") else "~g"
    fig.update_xaxes(
        title_text=axis.title, tickformat=form, ticksuffix="B" if x == "bytes" else "", **(log_ticks(values) if axis.log else {})
    )
    if x == "sparsity":
        fig.update_xaxes(range=[-0.02, 1.03], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 0.9, 1])
    elif not axis.log:
        fig.update_xaxes(rangemode="tozero")


def _up(metric: Metric, base: float) -> dict[str, object]:
    """Return title and ticks of the y-axis."""
    if not base:
        return axis(metric)
    unit = f" ({metric.unit})" if metric.unit not in ("", PERCENT) else ""
    return {**axis(metric), "title_text": f"{metric.phrase} against dense{unit}"}


def _front(frame: pd.DataFrame, x: str, metric: Metric, dark: bool) -> go.Scatter:
    """Return the Pareto front over all settings: the points that no other beats in both."""
    rows = frame.sort_values([x, "value"], ascending=[AXES[x].smaller, metric.better != HIGHER])
    best: float | None = None
    kept = []
    for place, value in zip(rows.index, rows["value"], strict=True):
        if best is None or metric.is_better(value, best):
            best = value
            kept.append(place)
    rows = rows.loc[kept]
    return go.Scatter(
        x=rows[x], y=rows["value"], mode="lines", name="best of all (Pareto front)", hoverinfo="skip", showlegend=True,
        line={"color": theme.fade_any(theme.muted(dark), 0.35), "width": 9},
    )  # fmt: skip


def _line(rows: pd.DataFrame, place: int, x: str, dark: bool, *, metric: Metric, base: float) -> go.Scatter:
    """Return the measured points of one setting."""
    name = str(rows["setting"].iloc[0])
    about = rows["about"] if "about" in rows else rows["setting"]
    removed = [reached(float(r.requested), float(r.sparsity)) for r in rows.itertuples()]
    kept = [with_interval(metric, float(r.value) + base, float(r.low) + base, float(r.high) + base) for r in rows.itertuples()]
    data = list(zip([place] * len(rows), rows["requested"], removed, kept, rows["n"], map(percent, rows["macs"]), about, strict=True))
    extra = "" if x == "sparsity" else f"<br>{AXES[x].title.partition(' (')[0]} %{{x:{AXES[x].form}}}"
    return go.Scatter(
        x=rows[x],
        y=rows["value"],
        mode="lines+markers",
        line={"color": theme.run_colour(place, dark), "width": 2},
        marker={"size": 8},
        name=name,
        customdata=data,
        text=[percent(float(v)) for v in rows["sparsity"]],
        hovertemplate=(
            "<b>%{customdata[6]}</b><br>removed: %{customdata[2]}" + extra + f"<br>{metric.phrase} %{{customdata[3]}}"
            "<br>n = %{customdata[4]:,}, MACs of non-zero weights %{customdata[5]} of dense"
            "<br><i>click: open on the Prune page</i><extra></extra>"
        ),
    )


def _spread(rows: pd.DataFrame, colour: str, x: str) -> list[go.Scatter]:
    """Return the spread over seeds as bars, where there are several."""
    if "least" not in rows or not rows["least"].notna().any():
        return []
    rows = rows[rows["least"].notna()]
    bars = {
        "type": "data",
        "array": rows["most"] - rows["value"],
        "arrayminus": rows["value"] - rows["least"],
        "color": colour,
        "thickness": 2,
        "width": 5,
    }
    return [
        go.Scatter(
            x=rows[x],
            y=rows["value"],
            mode="markers",
            marker={"size": 1, "color": colour},
            error_y=bars,
            hoverinfo="skip",
            showlegend=False,
        )
    ]


def _band(rows: pd.DataFrame, colour: str, x: str = "sparsity") -> go.Scatter:
    """Return the interval as a band around the line."""
    return go.Scatter(
        x=[*rows[x], *rows[x][::-1]],
        y=[*rows["high"], *rows["low"][::-1]],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=theme.fade(colour, 0.16),
        hoverinfo="skip",
        showlegend=False,
    )


def with_interval(metric: Metric, value: float, low: float, high: float) -> str:
    """Return a value with its interval, as a hover says it."""
    between = interval(metric, low, high)
    return written(metric, value) + (f", 95\u202f% interval {between}" if between else "")


def _direct_labels(
    fig: go.Figure, frame: pd.DataFrame, order: Sequence[str], dark: bool, *, right: bool = False, top: bool = False
) -> None:
    """Write each setting's name where the lines do not go: on the worse side, at the end where little was removed; one height a setting."""
    for place, name in enumerate(order):
        if not (frame["setting"] == name).any():
            continue
        y = 0.9 - 0.062 * place if top else 0.03 + 0.062 * (len(order) - 1 - place)
        label = {"text": f"<b>—</b> {name}", "font": {"color": theme.run_colour(place, dark), "size": 13}, "showarrow": False}
        label["bgcolor"] = theme.fade(theme.paper(dark), 0.75)
        side = {"x": 0.99, "xanchor": "right"} if right else {"x": 0.01, "xanchor": "left"}
        fig.add_annotation(**side, xref="paper", y=y, yref="paper", yanchor="bottom", **label)


def thumbnail_curve(frame: pd.DataFrame, *, dense: float, dark: bool = False, height: int = 220) -> go.Figure:
    """Draw one curve small, for the Start page: it holds, then breaks.

    Parameters
    ----------
    frame : DataFrame
        Columns ``sparsity``, ``value``, ``low``, ``high``.
    dense : float
        Value of the dense model.
    """
    rows = frame.sort_values("sparsity")
    line = go.Scatter(
        x=rows["sparsity"],
        y=rows["value"],
        mode="lines+markers",
        line={"color": theme.KEPT, "width": 2},
        marker={"size": 6},
        customdata=[(percent(r.sparsity), percent(r.value)) for r in rows.itertuples()],
        hovertemplate="removed %{customdata[0]}<br>accuracy %{customdata[1]}<extra></extra>",
    )
    fig = theme.figure([_band(rows, theme.KEPT), line], dark=dark, height=height, showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    fig.update_xaxes(tickformat=".0%", range=[-0.02, 1.08], tickvals=[0, 0.5, 1], title_text="share of the weights removed")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.06], tickvals=[0, 0.5, 1])
    theme.reference(fig, y=dense, colour=theme.dense(dark))
    return fig
