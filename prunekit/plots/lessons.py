"""Pictures of the lessons on weights: the moving cut, a matrix by hand, a layer with its zeros, storage to scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.formatting import plural, size
from prunekit.plots import cells, theme

GROWN = 1.4  # how much larger marks and words are for a projector


def enlarged(fig: go.Figure) -> go.Figure:
    """Return a figure, changed in place, with larger words, for people far from the screen."""
    fig.update_layout(font_size=round(13 * GROWN), height=round((fig.layout.height or 320) * 1.2))
    fig.update_xaxes(tickfont_size=round(12 * GROWN), title_font_size=round(12 * GROWN))
    fig.update_yaxes(tickfont_size=round(12 * GROWN), title_font_size=round(12 * GROWN))
    fig.update_layout(legend_font_size=round(12 * GROWN))
    for note in fig.layout.annotations:
        note.font.size = round((note.font.size or 13) * GROWN)
    if any(getattr(trace, "mode", None) == "text" for trace in fig.data):
        fig.update_layout(margin_r=(fig.layout.margin.r or 0) + 48)  # words behind bars grow to the right
    fig.update_traces(textfont_size=round(13 * GROWN), selector=lambda trace: "textfont" in trace)
    return fig


def moving_cut(frame: pd.DataFrame, bound: float, *, dark: bool = False) -> go.Figure:
    """Draw weights as a histogram with the cut on both sides of zero.

    ``frame``: columns ``left``, ``right``, ``count`` and ``small`` (bool), a row for each bar.
    """
    traces = [_bars(frame[frame.small], "small", theme.removed(dark, 0.75)), _bars(frame[~frame.small], "large", theme.KEPT)]
    fig = theme.figure(traces, dark=dark, height=360, bargap=0, margin={"t": 40}, showlegend=True)
    fig.add_vrect(x0=-bound, x1=bound, fillcolor=theme.removed(dark, 0.10), line_width=0, layer="below")
    for x in (-bound, bound):
        theme.reference(fig, x=x, colour=theme.muted(dark))
    fig.update_xaxes(title_text="weight", range=[frame.left.min(), frame.right.max()])
    fig.update_yaxes(title_text="how many weights", tickformat=",~s")
    return fig


def _bars(rows: pd.DataFrame, name: str, colour: str) -> go.Bar:
    """Return the bars on one side of the cut."""
    middle = (rows.left + rows.right) / 2
    look = {"marker": {"color": colour, "line": {"width": 0}}, "hovertemplate": "about %{x:.2f}: %{y:,} weights<extra></extra>"}
    return go.Bar(x=middle, y=rows["count"], width=rows.right - rows.left, name=name, **look)


def matrices(frame: pd.DataFrame, which: Sequence[tuple[str, str]], *, dark: bool = False) -> go.Figure:
    """Draw a small matrix once for each choice of kept weights, with its numbers, and zeros for removed ones.

    ``frame``: columns ``row``, ``column``, ``weight``, and a column of bool for each choice; ``which``: columns, each with the heading of
    its picture.
    """
    fig = make_subplots(1, len(which), subplot_titles=[title for _, title in which], horizontal_spacing=0.06)
    most = float(frame.weight.abs().max()) or 1.0
    weights = frame.pivot(index="row", columns="column", values="weight").to_numpy()
    for place, (name, _) in enumerate(which, 1):
        kept = frame.pivot(index="row", columns="column", values=name).to_numpy().astype(bool)
        for trace in _cells(weights, kept, most, dark, numbers=True):
            fig.add_trace(trace, row=1, col=place)
    fig.update_layout(template=theme.TEMPLATES[dark], height=330, margin={"t": 34, "b": 4}, uirevision="prunekit")
    fig.update_annotations(font={"size": 14, "color": theme.ink(dark)})
    fig.update_xaxes(visible=False, constrain="domain")
    fig.update_yaxes(visible=False, autorange="reversed")
    for place in range(1, len(which) + 1):
        fig.update_yaxes(scaleanchor=f"x{place if place > 1 else ''}", constrain="domain", row=1, col=place)
    return fig


def _cells(weights: cells.Floats, kept: cells.Bools, most: float, dark: bool, *, numbers: bool) -> list[go.Heatmap]:
    """Return kept weights, coloured by their value, and zeros, each empty where the other is."""
    gap = {"xgap": 3, "ygap": 3} if numbers else {"xgap": 1, "ygap": 1}
    common = {"zmin": -most, "zmax": most, "showscale": False, "hoverongaps": False, **gap}
    stays = go.Heatmap(z=np.where(kept, weights, np.nan), colorscale=cells.signed(dark), hovertemplate="%{z:.3f}<extra></extra>", **common)
    goes = go.Heatmap(z=np.where(kept, np.nan, 0.0), colorscale=cells.flat(theme.removed(dark, 0.22)), hoverinfo="skip", **common)
    if numbers:
        words = np.vectorize(signed_number)(weights)
        stays.update(text=np.where(kept, words, ""), texttemplate="%{text}", textfont={"size": 14})
        goes.update(text=np.where(kept, "", "0"), texttemplate="%{text}", textfont={"size": 14, "color": theme.muted(dark)})
    return [stays, goes]


def signed_number(value: float) -> str:
    """Return a weight with two decimals and a proper minus sign; what rounds to nothing has no sign."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def layer_and_storage(weights: pd.DataFrame, storage: pd.DataFrame, value_bytes: int = 4, *, dark: bool = False) -> go.Figure:
    """Draw a layer as a matrix with its zeros, and below it the ways to store it, drawn to scale.

    ``weights``: columns ``row``, ``column``, ``weight`` and ``kept`` (bool); ``storage``: columns ``format``, ``title`` and ``bytes``;
    ``value_bytes``: bytes of one number.
    """
    fig = make_subplots(2, 1, row_heights=[0.42, 0.58], vertical_spacing=0.2)
    values, kept = (weights.pivot(index="row", columns="column", values=name).to_numpy() for name in ("weight", "kept"))
    for trace in _cells(values, kept.astype(bool), float(np.abs(values).max()), dark, numbers=False):
        fig.add_trace(trace, row=1, col=1)
    for trace in _storage(storage, int(kept.sum()) * value_bytes, dark):
        fig.add_trace(trace, row=2, col=1)
    fig.update_layout(template=theme.TEMPLATES[dark], height=440, barmode="stack", margin={"t": 8}, uirevision="prunekit", bargap=0.35)
    fig.update_layout(legend={"y": 0.64, "yanchor": "top", "traceorder": "normal"})
    fig.update_xaxes(visible=False, row=1, col=1)
    fig.update_yaxes(visible=False, autorange="reversed", row=1, col=1)
    fig.update_xaxes(title_text="bytes", rangemode="tozero", range=[0, 1.2 * float(storage.bytes.max())], row=2, col=1)
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category", row=2, col=1)
    return fig


def _storage(storage: pd.DataFrame, value_bytes: int, dark: bool) -> list[go.Bar]:
    """Return what each format spends on numbers, on zeros and on saying where numbers stand; gzip mixes them."""
    dense, zipped = storage.format == "dense", storage.format == "gzip"
    parts = {
        "numbers": (np.where(zipped, 0, value_bytes), theme.KEPT),
        "zeros": (np.where(dense, storage.bytes - value_bytes, 0), theme.removed(dark, 0.45)),
        "where they stand": (np.where(dense | zipped, 0, storage.bytes - value_bytes), theme.dense(dark)),
        "all of it, compressed": (np.where(zipped, storage.bytes, 0), theme.fade(theme.KEPT, 0.55)),
    }
    parts = {name: (values, colour) for name, (values, colour) in parts.items() if np.any(values)}
    names = [title.split(":")[0] for title in storage.title]
    found = [_part(names, name, values, colour) for name, (values, colour) in parts.items()]
    found[-1].showlegend = not zipped.any()  # its row says what it is
    ends = ["  " + size(total) for total in storage.bytes]
    label = {"mode": "text", "text": ends, "textposition": "middle right", "showlegend": False, "hoverinfo": "skip"}
    return [*found, go.Scatter(x=storage.bytes, y=names, cliponaxis=False, **label)]


def _part(names: list[str], name: str, values: object, colour: str) -> go.Bar:
    """Return one part of the bars."""
    hover = f"%{{y}}: %{{x:,}} bytes for {name}<extra></extra>"
    return go.Bar(y=names, x=values, name=name, orientation="h", marker={"color": colour, "line": {"width": 0}}, hovertemplate=hover)


def narrower(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw every layer as its matrix, to scale: the outline is the original, what is filled is left.

    ``frame``: columns ``layer``, ``shape_before`` and ``shape_after``; inputs lie across, outputs down.
    """
    sides = [(_sides(row.shape_before), _sides(row.shape_after), row.layer) for row in frame.itertuples()]
    gap = 0.05 * sum(before[1] for before, _, _ in sides)
    fig, left = theme.figure(dark=dark, height=250, margin={"t": 4, "b": 4, "l": 24}), gap
    tallest = max(before[0] for before, _, _ in sides)
    for before, after, name in sides:
        _box(
            fig,
            left,
            before,
            {"line": {"color": theme.removed(dark, 0.9), "width": 1, "dash": "dot"}, "fillcolor": theme.removed(dark, 0.16)},
        )
        _box(fig, left, after, {"line": {"width": 0}, "fillcolor": theme.KEPT})
        _name(fig, left, (before, after), f"<b>{name}</b>", tallest=tallest, wide=before[1] > 2 * gap, colour=theme.ink(dark))
        left += before[1] + gap
    fig.add_trace(go.Scatter(x=[0, left], y=[0, tallest], mode="markers", marker={"opacity": 0}, hoverinfo="skip", showlegend=False))
    fig.update_xaxes(visible=False, range=[0, left])
    fig.update_yaxes(visible=False, range=[-0.5 * tallest, 1.02 * tallest])
    return fig


def _name(fig: go.Figure, left: float, sides: Sequence[tuple[int, int]], name: str, *, tallest: int, wide: bool, colour: str) -> None:
    """Write a layer's name: with its shape below where there is room, alone above it where there is not."""
    before, after = sides
    look = {"x": left + before[1] / 2, "showarrow": False, "font": {"size": 12, "color": colour}}
    if not wide:
        fig.add_annotation(text=name, y=before[0] + 0.04 * tallest, yanchor="bottom", **look)
        return
    old, new = (f"{side[0]} × {side[1]:,}" for side in (before, after))
    fig.add_annotation(text=f"{name}<br>{old}" + (f"<br>→ {new}" if new != old else ""), y=-0.05 * tallest, yanchor="top", **look)


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a weight as a matrix: outputs, and all that one output is multiplied with."""
    return int(shape[0]), int(np.prod(shape[1:]))


def _box(fig: go.Figure, left: float, sides: tuple[int, int], look: dict[str, object]) -> None:
    """Draw a matrix that stands on the ground."""
    fig.add_shape(type="rect", x0=left, x1=left + sides[1], y0=0, y1=sides[0], **look)


def narrower_caption(frame: pd.DataFrame) -> str:
    """Say what has become narrower."""
    changed = [row.layer for row in frame.itertuples() if row.shape_before != row.shape_after]
    scale = "Every layer as its matrix, drawn to scale: inputs across, outputs down"
    return f"{scale}. {plural(len(changed), 'layer')} got smaller: {', '.join(changed)}." if changed else f"{scale}."
