"""Why it is not faster, as a picture: time by layer before and after, beside MACs by layer on the same rows."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import count, milliseconds, percent, short, times
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
    dark : bool
        For a dark page.

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
    """Return at most `MOST_ROWS` rows: the layers that take most of the time, in their order, and the sum over all others.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`time_by_layer`.
    """
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
    """Say how far time and MACs fell, and which layer takes most of the time now.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`time_by_layer`.
    """
    if frame.empty:
        return "Times by layer follow."
    before, after = float(frame["ms_before"].sum()), float(frame["ms_after"].sum())
    macs = float(frame["macs_before"].sum()), float(frame["macs_after"].sum())
    top = frame.loc[frame["ms_after"].idxmax()]
    changed = f"MACs fell {times(macs[0] / macs[1])}" if 0 < macs[1] < macs[0] else "The MACs by shape are the same, zeros included"
    faster = f"time {times(before / after)}" if after < before else "time did not fall"
    share = percent(float(top["ms_after"]) / after, 0)
    spans = f"{milliseconds(before)} ms before, {milliseconds(after)} ms after, summed over the rows"
    return f"{changed}, {faster} ({spans}). **{top['layer']}** takes most now: {share} of it."
