"""Latency: all samples of each row on one scale, ratios, speed-up over batch and threads; and why it is not faster, by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import by_times, count, milliseconds, percent, ratio_span, short, times
from prunekit.plots import theme

MOST_ROWS = 40  # beyond this the layers with the least time stand in one row
OTHERS = "all other layers"


def time_by_layer(frame: pd.DataFrame, *, marked: dict[str, str] | None = None, dark: bool = False) -> go.Figure:
    """Draw the time of each layer before and after pruning, and its MACs before and after on the same rows.

    Parameters
    ----------
    frame : DataFrame
        Columns ``layer``, and each with ``_before`` and ``_after`` ``ms``, ``q1``, ``q3`` (NaN where there are none) and ``macs``; layers
        in the order of the pass.
    marked : dict of str to str, optional
        Layer to the cause that it is named for: shown on hovering, its name in bold.

    Returns
    -------
    plotly.graph_objects.Figure
        Both axes start at zero; whiskers are quartiles.
    """
    marked, rows = marked or {}, gathered(frame)
    fig = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.62, 0.38], horizontal_spacing=0.03, subplot_titles=["Time, ms", "MACs"])
    height = 80 + 30 * max(len(rows), 1)
    fig.update_layout(template="prunekit_dark" if dark else "prunekit", height=height, uirevision="prunekit", bargap=0.3, barmode="group")
    for when, colour in (("before", theme.dense(dark)), ("after", theme.KEPT)):
        fig.add_trace(_times(rows, when, colour, marked, dark), row=1, col=1)
        fig.add_trace(_macs(rows, when, colour), row=1, col=2)
    names = list(rows["layer"])
    bold = [f"<b>{short(name)}</b>" if name in marked else short(name) for name in names]
    fig.update_yaxes(autorange="reversed", tickvals=names, ticktext=bold, showgrid=False, type="category")
    fig.update_xaxes(rangemode="tozero", nticks=6)
    fig.update_xaxes(tickformat="~s", nticks=4, row=1, col=2)
    fig.update_annotations(font={"size": 12, "color": theme.muted(dark)})
    fig.update_layout(legend={"y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left"}, margin={"t": 34, "l": 8, "r": 8, "b": 8})
    return fig


def gathered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return at most `MOST_ROWS` rows: the layers that take most of the time, in their order, and the sum over all others."""
    if len(frame) <= MOST_ROWS:
        return frame
    weight = frame[["ms_before", "ms_after"]].max(axis=1)
    large = weight.nlargest(MOST_ROWS - 1).index
    rest = frame.drop(index=large)
    sums = {column: rest[column].sum() for column in ("ms_before", "ms_after", "macs_before", "macs_after")}
    return pd.concat([frame.loc[sorted(large)], pd.DataFrame([{"layer": OTHERS, "type": "other"} | sums])], ignore_index=True)


def _times(rows: pd.DataFrame, when: str, colour: str, marked: dict[str, str], dark: bool) -> go.Bar:
    """Return the times at one moment, with their quartiles."""
    ms, low, high = (rows[f"{part}_{when}"].astype(float) for part in ("ms", "q1", "q3"))
    said = [f"<br>{marked[name]}" if name in marked else "" for name in rows["layer"]]
    return go.Bar(
        x=ms, y=rows["layer"], orientation="h", name=when, offsetgroup=when, marker={"color": colour, "line": {"width": 0}},
        error_x={
            "type": "data", "symmetric": False, "color": theme.ink(dark), "thickness": 1, "width": 2,
            "array": (high - ms).fillna(0).clip(lower=0), "arrayminus": (ms - low).fillna(0).clip(lower=0),
        },
        customdata=said, hovertemplate=f"<b>%{{y}}</b> {when}: %{{x:.3g}} ms%{{customdata}}<extra></extra>",
    )  # fmt: skip


def _macs(rows: pd.DataFrame, when: str, colour: str) -> go.Bar:
    """Return the MACs at one moment."""
    return go.Bar(
        x=rows[f"macs_{when}"], y=rows["layer"], orientation="h", name=when, offsetgroup=when, showlegend=False,
        marker={"color": colour, "line": {"width": 0}}, customdata=[count(float(value)) for value in rows[f"macs_{when}"]],
        hovertemplate=f"<b>%{{y}}</b> {when}: %{{customdata}} MACs<extra></extra>",
    )  # fmt: skip


def time_caption(frame: pd.DataFrame) -> str:
    """Say how far time and MACs fell, and which layer takes most of the time now."""
    if frame.empty:
        return "Times by layer follow."
    before, after = float(frame["ms_before"].sum()), float(frame["ms_after"].sum())
    macs = float(frame["macs_before"].sum()), float(frame["macs_after"].sum())
    top = frame.loc[frame["ms_after"].idxmax()]
    changed = by_times(*macs, "fewer MACs", "more MACs", "The MACs by shape are the same, zeros included")
    faster = by_times(before, after, "less time", "more time", "the time is the same")
    share = percent(float(top["ms_after"]) / after, 0)
    spans = f"{milliseconds(before)} ms before, {milliseconds(after)} ms after, summed over the rows"
    return f"{changed}, {faster} ({spans}). **{top['layer']}** takes most now: {share} of it."


MOST_MARKS = 9
MARKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 200, 500, 1000)


def samples(frame: pd.DataFrame, *, colours: dict[str, str], dark: bool = False) -> go.Figure:
    """Draw every sample as a dot, with the quartiles as a box and the median as a direct label.

    Parameters
    ----------
    frame : DataFrame
        Columns ``candidate`` and ``ms``; candidates in the order of their rows.
    colours : dict of str to str
        Candidate to colour.

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
    """
    measured = go.Scatter(
        x=frame["value"],
        y=frame["candidate"],
        mode="markers",
        name="measured, 95\u202f% interval",
        marker={"size": 11, "color": [colours[name] for name in frame["candidate"]]},
        error_x={"type": "data", "array": frame["high"] - frame["value"], "arrayminus": frame["value"] - frame["low"]},
        customdata=[f"{times(r.value)} ({ratio_span(r.low, r.high)})" for r in frame.itertuples()],
        hovertemplate="<b>%{y}</b><br>measured %{customdata}<extra></extra>",
    )
    traces = [
        *theme.intervals_over(measured, dark),
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
        traces.insert(2, go.Scatter(
            x=here["within"], y=here["candidate"], mode="markers", name="measured, against dense in the same runtime",
            marker={"size": 11, "symbol": "circle-open", "color": [colours[name] for name in here["candidate"]], "line": {"width": 2.5}},
            customdata=[f"{times(r.within)} ({ratio_span(r.within_low, r.within_high)})" for r in here.itertuples()],
            hovertemplate="<b>%{y}</b><br>against dense in the same runtime: %{customdata}<extra></extra>",
        ))  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=110 + 56 * len(frame))
    most = float(np.nanmax([frame["high"].max(), frame["macs"].max(), frame["within"].max(), 1.2]))
    least = float(np.nanmin([frame["low"].min(), frame["macs"].min(), frame["within"].min(), 0.9]))
    low, high = float(np.log10(least)), float(np.log10(most))
    margin = max(0.06 * (high - low), 0.05)  # a mark at the edge stands there whole
    marks = [mark for mark in MARKS if least * 0.9 <= mark <= most * 1.15]
    marks = [mark for place, mark in enumerate(marks) if (place - marks.index(1)) % -(-len(marks) // MOST_MARKS) == 0]  # 1 among them
    fig.update_xaxes(title_text="times faster (log scale)", type="log", range=[low - margin, high + margin])
    fig.update_xaxes(tickvals=marks, ticktext=[f"{mark:g}×" for mark in marks])
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category")
    theme.reference(fig, x=1.0, colour=theme.dense(dark))
    return fig


def speed_grid(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw how many times faster a model is over batch and other conditions, as a grid with its figures.

    Parameters
    ----------
    frame : DataFrame
        Columns ``batch``, ``row`` (what a line is called), ``value``, ``low``, ``high`` and ``within`` (a second figure as text, or "").

    Returns
    -------
    plotly.graph_objects.Figure
        Colour on a logarithmic scale, the same distance to either side of 1.
    """
    wide = frame.pivot(index="row", columns="batch", values=["value", "low", "high", "within"]).loc[list(dict.fromkeys(frame["row"]))]
    value = wide["value"].astype(float)
    most = max(float(np.nanmax(np.abs(np.log2(value.to_numpy())))), 0.2)
    words = [
        ["" if np.isnan(v) else f"<b>{times(v)}</b> ({ratio_span(low, high)})<br>{here}" for v, low, high, here in zip(*rows, strict=True)]
        for rows in zip(value.to_numpy(), *(wide[name].to_numpy() for name in ("low", "high", "within")), strict=True)
    ]
    trace = go.Heatmap(
        z=np.log2(value.to_numpy()),
        x=[f"batch {n}" for n in value.columns],
        y=list(value.index),
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
    fig.update_yaxes(showgrid=False, type="category", autorange="reversed")
    return fig
