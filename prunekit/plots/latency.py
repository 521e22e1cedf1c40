"""Latency: all samples of each row on one scale, the ratios to the baseline, and the speed-up over batch and threads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.formatting import milliseconds, ratio_span, times
from prunekit.plots import theme

MARKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 200, 500, 1000)


def samples(frame: pd.DataFrame, *, colours: dict[str, str], dark: bool = False) -> go.Figure:
    """Draw every sample as a dot, with the quartiles as a box and the median as a direct label.

    Parameters
    ----------
    frame : DataFrame
        Columns ``candidate`` and ``ms``; candidates in the order of their rows.
    colours : dict of str to str
        Candidate to colour.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
        The scale starts at zero and ends where 99 % of the samples are: rare stragglers would squeeze the rest.
    """
    names = list(dict.fromkeys(frame["candidate"]))
    traces = [
        go.Box(
            x=frame.loc[frame["candidate"] == name, "ms"],
            name=name,
            orientation="h",
            boxpoints="all",
            jitter=0.7,
            pointpos=0,
            marker={"color": colours[name], "size": 3.5, "opacity": 0.45},
            line={"color": colours[name], "width": 1.5},
            fillcolor=theme.fade(colours[name], 0.12),
            whiskerwidth=0,
            hovertemplate="%{x:.3g} ms<extra></extra>",
        )
        for name in names
    ]
    pitch = 92 if len(names) <= 4 else 64
    fig = theme.figure(traces, dark=dark, height=70 + pitch * len(names), showlegend=False, margin={"t": 12})
    most = float(np.quantile(frame["ms"], 0.99)) * 1.08 if len(frame) else 1.0
    fig.update_xaxes(title_text="latency of one batch, ms", range=[0, most], rangemode="tozero")
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category")
    for name in names:
        median = float(frame.loc[frame["candidate"] == name, "ms"].median())
        label = {
            "text": f"<b>{milliseconds(median)} ms</b>",
            "font": {"color": colours[name], "size": 13},
            "showarrow": False,
        }
        fig.add_annotation(x=median, y=name, yshift=0.41 * pitch, **label)
    return fig


def ratios(frame: pd.DataFrame, *, colours: dict[str, str], dark: bool = False) -> go.Figure:
    """Draw how many times faster each candidate is: measured with its interval, from MACs as a hollow mark.

    Parameters
    ----------
    frame : DataFrame
        Columns ``candidate``, ``value``, ``low``, ``high`` (speed-up over the baseline, measured), ``within``, ``within_low``,
        ``within_high`` (over the baseline's model in the same runtime, where that is another one; else NaN) and ``macs`` (dense MACs over
        the candidate's, theoretical).
    colours : dict of str to str
        Candidate to colour.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    traces = [
        go.Scatter(
            x=frame["value"],
            y=frame["candidate"],
            mode="markers",
            name="measured, 95 % interval",
            marker={"size": 11, "color": [colours[name] for name in frame["candidate"]]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": frame["high"] - frame["value"],
                "arrayminus": frame["value"] - frame["low"],
                "color": theme.ink(dark),
                "thickness": 1.6,
                "width": 6,
            },
            customdata=[f"{times(r.value)} ({ratio_span(r.low, r.high)})" for r in frame.itertuples()],
            hovertemplate="<b>%{y}</b><br>measured %{customdata}<extra></extra>",
        ),
        go.Scatter(
            x=frame["macs"],
            y=frame["candidate"],
            mode="markers",
            name="ratio of MACs (theoretical)",
            marker={"size": 13, "symbol": "diamond-open", "color": theme.muted(dark), "line": {"width": 2}},
            customdata=["" if np.isnan(v) else times(v) for v in frame["macs"]],
            hovertemplate="<b>%{y}</b><br>dense MACs / effective MACs: %{customdata}<extra></extra>",
        ),
    ]
    here = frame.dropna(subset="within")
    if len(here):
        traces.insert(1, go.Scatter(
            x=here["within"], y=here["candidate"], mode="markers", name="measured, against dense in the same runtime",
            marker={"size": 11, "symbol": "circle-open", "color": [colours[name] for name in here["candidate"]], "line": {"width": 2.5}},
            customdata=[f"{times(r.within)} ({ratio_span(r.within_low, r.within_high)})" for r in here.itertuples()],
            hovertemplate="<b>%{y}</b><br>against dense in the same runtime: %{customdata}<extra></extra>",
        ))  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=110 + 56 * len(frame))
    most = float(np.nanmax([frame["high"].max(), frame["macs"].max(), frame["within"].max(), 1.2]))
    least = float(np.nanmin([frame["low"].min(), frame["macs"].min(), frame["within"].min(), 0.9]))
    marks = [mark for mark in MARKS if least * 0.9 <= mark <= most * 1.15]
    fig.update_xaxes(title_text="times faster (log scale)", type="log", range=[np.log10(least * 0.9), np.log10(most * 1.15)])
    fig.update_xaxes(tickvals=marks, ticktext=[f"{mark:g}×" for mark in marks])
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category")
    theme.reference(fig, x=1.0, colour=theme.dense(dark))
    return fig


def speed_grid(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw how many times faster a model is over batch and threads, as a grid with its figures.

    Parameters
    ----------
    frame : DataFrame
        Columns ``batch``, ``threads``, ``value``, ``low``, ``high`` and ``within`` (a second figure as text, or "").
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
        Colour on a logarithmic scale, the same distance to either side of 1.
    """
    wide = frame.pivot(index="threads", columns="batch", values=["value", "low", "high", "within"])
    value = wide["value"].astype(float)
    most = max(float(np.nanmax(np.abs(np.log2(value.to_numpy())))), 0.2)
    words = [
        ["" if np.isnan(v) else f"<b>{times(v)}</b> ({ratio_span(low, high)})<br>{here}" for v, low, high, here in zip(*rows, strict=True)]
        for rows in zip(value.to_numpy(), *(wide[name].to_numpy() for name in ("low", "high", "within")), strict=True)
    ]
    trace = go.Heatmap(
        z=np.log2(value.to_numpy()),
        x=[f"batch {n}" for n in value.columns],
        y=[f"{n} thread{'s' * (n > 1)}" for n in value.index],
        text=words,
        texttemplate="%{text}",
        hoverinfo="skip",
        showscale=False,
        xgap=3,
        ygap=3,
        zmin=-most,
        zmax=most,
        colorscale=[[0, theme.REMOVED], [0.5, theme.paper(dark)], [1, theme.KEPT]],
    )
    fig = theme.figure([trace], dark=dark, height=70 + 64 * len(value.index), margin={"t": 8})
    fig.update_xaxes(showgrid=False, side="bottom", type="category")
    fig.update_yaxes(showgrid=False, type="category")
    return fig
