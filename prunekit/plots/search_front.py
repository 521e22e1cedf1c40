"""A search as a picture: every trial by its cost and its quality, the front of both, and what must hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.formatting import count, percent, plural, size
from prunekit.plots import theme
from prunekit.plots.quality_axis import DECADE, axis, log_ticks, quality_range
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.wording import lost_or_gained, worse_by, written

SHOWN = 6.0  # times the allowed loss: what loses more is drawn at the edge of the picture
STATES = {"holds": "holds", "falls": "loses too much"}


def cost_text(goal: str, cost: float) -> str:
    """Return a cost as people read it: ``21.8 k parameters``, ``13.2 kB``."""
    return size(cost) if goal == "bytes" else f"{count(cost)} {'parameters' if goal == 'params' else 'MACs'}"


def search_front(
    frame: pd.DataFrame, *, goal: str, before: float, dense: float, allowed: float, metric: Metric, best: int = -1,
    chance: float | None = None, dark: bool = False, height: int = 400,
) -> go.Figure:  # fmt: skip
    """Draw quality against cost for every trial of a search.

    ``frame``: columns ``number``, ``state`` (``holds``, ``falls``), ``cost``, ``value``, ``loss``, ``samples``, ``title``, ``run``;
    ``goal``: {"latency", "params", "macs", "bytes"}: what is minimised. Traces ``front``, ``holds``, ``falls`` and ``dense``; a click on a
    trial gives its run in ``customdata[0]``.
    """
    floor, far = worse_by(metric, dense, allowed), beyond(frame, metric, allowed, dense)
    shown = quality_range(metric, [*frame.loc[~far, "value"], floor], dense, chance=chance)
    edge = shown[0] if metric.better == HIGHER else shown[1]
    points = frame.assign(y=np.where(far, edge, frame["value"]), far=far)
    traces = [_front(points, before, dense, metric, dark)]
    traces += [
        _trials(points[points["state"] == state], goal, before, metric, state=state, best=best, dark=dark) for state in ("falls", "holds")
    ]
    traces.append(
        go.Scatter(
            x=[before], y=[dense], mode="markers", name="dense", cliponaxis=False,
            marker={"symbol": "diamond", "size": 12, "color": theme.dense(dark)},
            hovertemplate=f"<b>dense</b><br>{cost_text(goal, before)}<br>{metric.phrase} {written(metric, dense)}<extra></extra>",
        )
    )  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=height, margin={"t": 30, "r": 16})
    costs = np.array([*frame["cost"], before], dtype=float)
    title = {"bytes": "size of the file", "params": "parameters"}.get(goal, "MACs")
    if costs.min() > 0 and DECADE * costs.min() < costs.max():
        ticks = log_ticks(costs)
        names = [(size if goal == "bytes" else count)(place) for place in ticks["tickvals"]]
        ends = [float(np.log10(costs.min())) - 0.06, float(np.log10(costs.max())) + 0.06]
        fig.update_xaxes(**{**ticks, "ticktext": names}, range=ends, title_text=f"{title}, log scale")
    else:
        fig.update_xaxes(title_text=title, tickformat="~s", ticksuffix="B" if goal == "bytes" else "", range=[0, 1.06 * float(costs.max())])
    fig.update_yaxes(range=shown, **axis(metric))
    words = f"{'at least' if metric.better == HIGHER else 'at most'} {written(metric, floor)}"
    theme.reference(fig, y=floor, text=words, colour=theme.removed(dark, 1.0), dash="dot")
    return fig


def beyond(frame: pd.DataFrame, metric: Metric, allowed: float, dense: float) -> pd.Series:
    """Return which trials lose so much that they are drawn at the edge."""
    least = 0.02 * (1.0 if metric.unit == PERCENT else abs(dense) or 1.0)
    return (frame["state"] != "holds") & (frame["loss"] > max(SHOWN * allowed, least))


def on_front(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the trials measured on all samples that no other beats in cost and quality, the cheapest first."""
    whole = frame[frame["samples"] == frame["samples"].max()]
    rows = whole.sort_values(["cost", "value"], ascending=[True, metric.better != HIGHER])
    kept, best = [], None
    for place, value in zip(rows.index, rows["value"], strict=True):
        if best is None or metric.is_better(value, best):
            best = value
            kept.append(place)
    return rows.loc[kept]


def _front(points: pd.DataFrame, before: float, dense: float, metric: Metric, dark: bool) -> go.Scatter:
    """Return the line through what nothing beats, up to the dense model."""
    there = pd.DataFrame([{"cost": before, "value": dense, "y": dense, "samples": points["samples"].max(), "far": False}])
    rows = on_front(pd.concat([points, there], ignore_index=True), metric)
    rows = rows[~rows["far"]]
    line = {"color": theme.fade_any(theme.muted(dark), 0.35), "width": 8}
    return go.Scatter(x=rows["cost"], y=rows["y"], mode="lines", name="nothing is better in both", line=line, hoverinfo="skip")


def _trials(rows: pd.DataFrame, goal: str, before: float, metric: Metric, *, state: str, best: int, dark: bool) -> go.Scatter:
    """Return the trials of one state as points; the best is ringed, what lies beyond the picture points there."""
    holds = state == "holds"
    colour = theme.KEPT if holds else theme.removed(dark, 0.75)
    away = "triangle-down" if metric.better == HIGHER else "triangle-up"
    said = [
        (row.run, row.title, cost_text(goal, row.cost), percent(row.cost / before), written(metric, row.value),
         lost_or_gained(metric, row.loss), f"{row.samples:,}", row.number)
        for row in rows.itertuples()
    ]  # fmt: skip
    return go.Scatter(
        x=rows["cost"], y=rows["y"], mode="markers", name=STATES[state], customdata=said, cliponaxis=False,
        marker={
            "size": [16 if number == best else 9 for number in rows["number"]], "color": colour, "opacity": 1,
            "symbol": [away if far else "circle" if holds else "circle-open" for far in rows["far"]],
            "line": {"width": [3 if number == best else 1 for number in rows["number"]],
                     "color": [theme.ink(dark) if number == best else colour for number in rows["number"]]},
        },
        hovertemplate=(
            "<b>trial %{customdata[7]}</b>: %{customdata[1]}<br>%{customdata[2]}, %{customdata[3]} of dense<br>"
            f"{metric.phrase} %{{customdata[4]}}, %{{customdata[5]}}"
            "<br>n = %{customdata[6]}<extra></extra>"
        ),
    )  # fmt: skip


def search_caption(frame: pd.DataFrame, *, goal: str, before: float, dense: float, allowed: float, metric: Metric, units: str) -> str:
    """Say what to notice: how many hold, what the smallest of them costs, and what is not drawn to scale."""
    holding = frame[frame["state"] == "holds"]
    hold = "holds" if len(holding) == 1 else "hold"
    text = f"{plural(len(frame), 'trial')}, {len(holding)} of them {hold} on {int(frame['samples'].max()):,} {units}."
    if len(holding):
        least = holding.loc[holding["cost"].idxmin()]
        text += f" The ringed one has {cost_text(goal, least['cost'])}, {percent(least['cost'] / before)} of dense"
        loss = float(least["loss"])
        text += f": {lost_or_gained(metric, loss)}."
    few = int((frame["samples"] < frame["samples"].max()).sum())
    text += f" {few} fell clearly on a first look at fewer {units}." if few else ""
    away = int(beyond(frame, metric, allowed, dense).sum())
    return text + (f" Triangles at the edge: {plural(away, 'trial')} that {'loses' if away == 1 else 'lose'} far more." if away else "")
