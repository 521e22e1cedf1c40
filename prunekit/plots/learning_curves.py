"""Training as it goes: quality and loss by epoch, the schedule behind them, and what each step of recovery brought back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import percent
from prunekit.plots import theme
from prunekit.plots.quality_axis import axis, axis_title, tick_form, up_to_all
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.wording import interval, written


def learning_curves(
    frame: pd.DataFrame, *, dense: float | None = None, best: int | None = None, epochs: int = 0, metric: Metric = ACCURACY,
    units: str = "images", dark: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw quality and loss against the epoch, one above the other.

    Parameters
    ----------
    frame : DataFrame
        Columns ``epoch`` (from 1), ``loss``, ``train_quality``, ``value``, ``low``, ``high`` (of the validation split, NaN without one).
    dense : float, optional
        Value of the dense model on the same samples.
    best : int, optional
        The epoch that is kept.
    epochs : int
        How many there will be, so that the axis stays while points arrive.
    metric : Metric
        What was measured.
    units : str
        What samples are called.
    """
    fig = _stacked((axis_title(metric), "training loss"), (0.68, 0.32), 400, dark)
    if frame["value"].notna().any():
        fig.add_traces([_band(frame), _line(frame, "value", "validation", colour=theme.KEPT, form=metric)], rows=[1, 1], cols=[1, 1])
    seen = _line(frame, "train_quality", f"training {units}, as seen", colour=theme.dense(dark), form=metric, dash="dot")
    fig.add_trace(seen, row=1, col=1)
    fig.add_trace(_line(frame, "loss", "loss", colour=theme.run_colour(1, dark), form=".4f"), row=2, col=1)
    if dense is not None:
        fig.add_hline(y=dense, row=1, col=1, line={"color": theme.dense(dark), "width": 1.5, "dash": "dash"})
        fig.add_annotation(
            x=1, xref="paper", y=dense, xanchor="right", yanchor="bottom", text=f"dense {written(metric, dense)}", showarrow=False,
            font={"color": theme.dense(dark), "size": 12},
        )  # fmt: skip
    if best is not None and (frame["epoch"] == best).any():
        _kept(fig, frame, best, dark)
    fig.update_yaxes(tickformat=tick_form(metric), row=1, col=1)
    if frame["loss"].nunique() == 1 and frame["loss"].iloc[0] > 0:  # around one value an axis would reach below zero
        fig.update_yaxes(rangemode="tozero", row=2, col=1)
    last = max(epochs, int(frame["epoch"].max()) if len(frame) else 1)
    fig.update_xaxes(range=[0.6, last + 0.4], **({"dtick": 1} if last <= 12 else {}))
    fig.update_xaxes(title_text="epoch", row=2, col=1)
    return fig


def _stacked(titles: tuple[str, str], heights: tuple[float, float], height: int, dark: bool) -> go.Figure:
    """Return two panels, one above the other, that share the epochs."""
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=list(heights), vertical_spacing=0.07)
    template = "prunekit_dark" if dark else "prunekit"
    fig.update_layout(template=template, height=height, uirevision="prunekit", margin={"t": 30, "r": 12}, showlegend=True)
    for row, title in enumerate(titles, start=1):
        fig.update_yaxes(title_text=title, row=row, col=1)
    return fig


def _line(frame: pd.DataFrame, column: str, name: str, *, colour: str, form: str | Metric, dash: str = "solid") -> go.Scatter:
    """Return one column against the epoch."""
    return go.Scatter(
        x=frame["epoch"], y=frame[column], mode="lines+markers", name=name, line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 6}, customdata=[f"{v:{form}}" if isinstance(form, str) else written(form, v) for v in frame[column]],
        hovertemplate=f"epoch %{{x}}<br>{name} %{{customdata}}<extra></extra>", showlegend=column != "loss",
    )  # fmt: skip


def _band(frame: pd.DataFrame) -> go.Scatter:
    """Return the 95 % interval on the validation part."""
    rows = frame[frame["value"].notna()]
    return go.Scatter(
        x=[*rows["epoch"], *rows["epoch"][::-1]], y=[*rows["high"], *rows["low"][::-1]], mode="lines", line={"width": 0}, fill="toself",
        fillcolor=theme.fade(theme.KEPT, 0.16), hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def _kept(fig: go.Figure, frame: pd.DataFrame, best: int, dark: bool) -> None:
    """Mark the epoch whose weights are kept."""
    row = frame[frame["epoch"] == best].iloc[-1]
    y = row["train_quality"] if pd.isna(row["value"]) else row["value"]
    marker = {"size": 13, "symbol": "circle-open", "color": theme.ink(dark), "line": {"width": 2}}
    fig.add_trace(
        go.Scatter(x=[best], y=[y], mode="markers", marker=marker, name="kept", hovertemplate="kept: epoch %{x}<extra></extra>"),
        row=1, col=1,
    )  # fmt: skip


def schedule_chart(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw sparsity and learning rate against the epoch.

    Parameters
    ----------
    frame : DataFrame
        Columns ``epoch`` (a point of time, 0 is the start), ``sparsity`` (0 to 1), ``lr``; in order of time.
    """
    fig = _stacked(("sparsity", "learning rate"), (0.5, 0.5), 280, dark)
    steps = {"x": frame["epoch"], "mode": "lines", "showlegend": False}
    removed = go.Scatter(
        **steps, y=frame["sparsity"], line={"color": theme.removed(dark, 1.0), "width": 2, "shape": "hv"}, fill="tozeroy",
        fillcolor=theme.removed(dark, 0.15), customdata=[percent(v) for v in frame["sparsity"]],
        hovertemplate="epoch %{x:.3~g}: %{customdata} removed<extra></extra>",
    )  # fmt: skip
    rate = go.Scatter(
        **steps, y=frame["lr"], line={"color": theme.run_colour(0, dark), "width": 2},
        hovertemplate="epoch %{x:.3~g}: learning rate %{y:.3~g}<extra></extra>",
    )  # fmt: skip
    fig.add_trace(removed, row=1, col=1)
    fig.add_trace(rate, row=2, col=1)
    fig.update_yaxes(tickformat=".0%", range=[0, 1.02], row=1, col=1)
    fig.update_yaxes(rangemode="tozero", tickformat="~g", row=2, col=1)
    fig.update_xaxes(title_text="epoch", row=2, col=1)
    return fig


def recovery_steps(frame: pd.DataFrame, *, metric: Metric = ACCURACY, dark: bool = False) -> go.Figure:
    """Draw quality after each step: dense, pruned, recalibrated, fine-tuned, with 95 % intervals.

    Parameters
    ----------
    frame : DataFrame
        Columns ``step``, ``value``, ``low``, ``high``, ``n``; the dense model first.
    metric : Metric
        What was measured.
    """
    colours = [theme.dense(dark) if place == 0 else theme.KEPT for place in range(len(frame))]
    beside = ["top right" if value >= frame["value"].iloc[0] else "top left" for value in frame["value"]]  # of the dashed line, not on it
    marks = go.Scatter(
        x=frame["value"], y=frame["step"], mode="markers+text", marker={"size": 12, "color": colours},
        error_x={"type": "data", "array": frame["high"] - frame["value"], "arrayminus": frame["value"] - frame["low"]},
        text=[written(metric, float(v)) for v in frame["value"]], textposition=beside,
        customdata=[(interval(metric, float(r.low), float(r.high)) or "not known", r.n) for r in frame.itertuples()],
        hovertemplate=f"<b>%{{y}}</b><br>{metric.phrase} %{{text}}, 95\u202f% interval "
        "%{customdata[0]}, n = %{customdata[1]:,}<extra></extra>",
        cliponaxis=False,
    )  # fmt: skip
    fig = theme.figure(
        theme.intervals_over(marks, dark), dark=dark, height=70 + 58 * max(len(frame), 1), showlegend=False, margin={"t": 18, "r": 24}
    )
    fig.update_yaxes(autorange="reversed", showgrid=False)
    if metric.unit == PERCENT:
        low = float(frame["low"].min()) if len(frame) else 0.0
        shown = up_to_all(max(0.0, low - 0.08))
    else:
        ends = frame[["value", "low", "high"]].to_numpy(dtype=float)
        low, high = (float(np.nanmin(ends)), float(np.nanmax(ends))) if len(frame) else (0.0, 1.0)
        room = 0.12 * ((high - low) or abs(high) or 1.0)
        shown = [low - room, high + room]
    fig.update_xaxes(**axis(metric), range=shown)
    if len(frame):
        theme.reference(fig, x=float(frame["value"].iloc[0]), colour=theme.dense(dark))
    return fig
