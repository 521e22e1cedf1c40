"""Sparse against dense kernels: a map over density and size for each batch, and where they break even."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import percent, times
from prunekit.plots import theme

REACH = 4.0  # colours end where one is so many times faster than the other


def break_even_map(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw how many times faster the sparse layer is, over density and size, a panel for each batch.

    Parameters
    ----------
    frame : DataFrame
        Columns ``size`` (text), ``outputs``, ``inputs``, ``batch``, ``density``, ``ratio``, ``low``, ``high`` (sparse time by dense time)
        and ``different``.

    Returns
    -------
    plotly.graph_objects.Figure
        Teal where sparse is faster, vermilion where dense is; the colour of the page where they are equal. What is no certain difference
        stands in brackets.
    """
    batches = sorted(frame["batch"].unique())
    sizes = list(frame.assign(weights=frame["outputs"] * frame["inputs"]).sort_values("weights", kind="stable")["size"].unique())
    titles = [f"batch {batch}" for batch in batches]
    fig = make_subplots(1, max(len(batches), 1), shared_yaxes=True, horizontal_spacing=0.02, subplot_titles=titles)
    height = 110 + 44 * len(sizes)
    fig.update_layout(template="prunekit_dark" if dark else "prunekit", height=height, uirevision="prunekit", margin={"t": 30})
    for place, batch in enumerate(batches, start=1):
        fig.add_trace(_cells(frame[frame["batch"] == batch], sizes, dark), row=1, col=place)
    fig.update_xaxes(type="category", showgrid=False, title_text="weights left")
    fig.update_yaxes(type="category", showgrid=False)
    fig.update_annotations(font={"size": 12, "color": theme.muted(dark)})
    return fig


def _cells(frame: pd.DataFrame, sizes: list[str], dark: bool) -> go.Heatmap:
    """Return the map of one batch."""
    densities = sorted(frame["density"].unique())
    tables = {
        column: frame.pivot(index="size", columns="density", values=column).reindex(index=sizes, columns=densities)
        for column in ("ratio", "low", "high", "different")
    }
    faster = 1 / tables["ratio"].to_numpy(dtype=float)
    certain = tables["different"].to_numpy() == True  # noqa: E712 (NaN where a point was not measured)
    text = [[_label(value, sure) for value, sure in zip(*row, strict=True)] for row in zip(faster, certain, strict=True)]
    spans = np.dstack([1 / tables["high"].to_numpy(dtype=float), 1 / tables["low"].to_numpy(dtype=float)])
    scale = [[0.0, theme.removed(dark, 1.0)], [0.5, theme.paper(dark)], [1.0, theme.KEPT]]
    return go.Heatmap(
        x=[f"{100 * density:g} %" for density in densities], y=sizes, z=np.log(faster), zmin=-np.log(REACH), zmax=np.log(REACH),
        colorscale=scale, showscale=False, xgap=2, ygap=2, text=text, texttemplate="%{text}", textfont={"size": 11}, customdata=spans,
        hovertemplate="<b>%{y}</b>, %{x} of the weights left<br>sparse is %{text} as fast as dense"
        "<br>(%{customdata[0]:.2f} to %{customdata[1]:.2f})<extra></extra>", hoverongaps=False,
    )  # fmt: skip


def _label(value: float, certain: bool) -> str:
    """Return what stands in a cell."""
    if not np.isfinite(value):
        return ""
    return times(value) if certain else f"({times(value)})"


def break_even_lines(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw the share of zeros from which sparse is faster, against the batch, a line for each size.

    Parameters
    ----------
    frame : DataFrame
        Columns ``size`` (text), ``weights``, ``batch``, ``density`` (0 where sparse never is faster).

    Returns
    -------
    plotly.graph_objects.Figure
        Sparsity upwards, as people choose it; at 100 % no zeros are enough.
    """
    order = frame.sort_values(["weights", "batch"], kind="stable")
    traces = [
        go.Scatter(
            x=group["batch"], y=1 - group["density"], mode="lines+markers", name=str(size),
            line={"color": theme.run_colour(index, dark), "width": 2}, marker={"size": 8},
            customdata=[f"from {percent(1 - density)} zeros on" if density else "never" for density in group["density"]],
            hovertemplate=f"<b>{size}</b>, batch %{{x}}<br>sparse is faster: %{{customdata}}<extra></extra>",
        )
        for index, (size, group) in enumerate(order.groupby("size", sort=False))
    ]  # fmt: skip
    fig = theme.figure(traces, dark=dark, height=300)
    batches = sorted(frame["batch"].unique())
    fig.update_xaxes(type="log", title_text="rows at a time: samples, of texts times tokens")
    fig.update_xaxes(tickvals=batches, ticktext=[str(batch) for batch in batches])
    most = float(frame["density"].max()) if len(frame) else 0.0
    fig.update_yaxes(title_text="zeros from which sparse is faster", tickformat=".0%", range=[1 - 1.15 * max(most, 0.1), 1.02])
    return fig


def break_even_caption(frame: pd.DataFrame) -> str:
    """Say where a sparse layer pays most and where it never does."""
    if frame.empty:
        return "Points follow."
    best, worst = frame.loc[frame["density"].idxmax()], frame.loc[frame["density"].idxmin()]
    if not best["density"]:
        return "At no density, size and batch that was measured is a sparse layer faster than the dense one: here zeros save no time."
    text = f"A sparse layer pays earliest at {best['size']} and batch {best['batch']}: from {percent(1 - best['density'], 0)} zeros on."
    if worst["density"] == best["density"]:
        return text
    if not worst["density"]:
        return f"{text} At {worst['size']} and batch {worst['batch']} it never does."
    return f"{text} At {worst['size']} and batch {worst['batch']} it takes {percent(1 - worst['density'], 0)}."
