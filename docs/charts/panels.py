"""Panels side by side in the house's look, at the width of a page on GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint
from prunekit.formatting import percent
from prunekit.plots import theme

WIDTH = 830
Key = tuple[str, str]  # colour and name
Panel = dict[str, int]


def panels(titles: Sequence[str], *, height: int = 300, widths: Sequence[float] | None = None, gap: float = 0.1) -> go.Figure:
    """Return an empty figure of panels in a row.

    Parameters
    ----------
    titles : sequence of str
        One for each panel.
    height : int
        In pixels.
    widths : sequence of float, optional
        Relative widths.
    gap : float
        Between panels, as a share of the whole width.
    """
    fig = make_subplots(rows=1, cols=len(titles), horizontal_spacing=gap, column_widths=widths, subplot_titles=list(titles))
    fig.update_layout(template="prunekit", width=WIDTH, height=height, showlegend=False, paper_bgcolor="#ffffff", plot_bgcolor="#ffffff")
    fig.update_layout(margin={"l": 8, "r": 14, "t": 34, "b": 8})
    fig.update_xaxes(ticklabelstandoff=4)
    fig.update_yaxes(ticklabelstandoff=3)
    for note, axis in zip(fig.layout.annotations, fig.select_xaxes(), strict=True):
        note.update(x=axis.domain[0], xanchor="left", font={"size": 13, "color": theme.ink(False)}, text=f"<b>{note.text}</b>", yshift=6)
    return fig


def place(column: int) -> Panel:
    """Return where a panel is, as plotly wants it."""
    return {"row": 1, "col": column}


def line(fig: go.Figure, column: int, points: Sequence[SweepPoint], tint: str, *, left: bool = False, **stroke: Any) -> None:
    """Draw accuracy against what went (or what is left), with the 95 % interval as a band."""
    x = [1 - point.sparsity if left else point.sparsity for point in points]
    high, low = [p.accuracy.high for p in points], [p.accuracy.low for p in points]
    around: dict[str, Any] = {"x": [*x, *x[::-1]], "y": [*high, *low[::-1]], "mode": "lines", "line": {"width": 0}}
    fig.add_trace(go.Scatter(**around, fill="toself", fillcolor=theme.fade(tint, 0.16)), **place(column))
    plain_line(fig, column, x, [point.accuracy.value for point in points], tint, **stroke)


def plain_line(fig: go.Figure, column: int, x: Sequence[float], y: Sequence[float], tint: str, **stroke: Any) -> None:
    """Draw points on a line without a band."""
    style = {"color": tint, "width": 2, **stroke}
    fig.add_trace(go.Scatter(x=list(x), y=list(y), mode="lines+markers", line=style, marker={"size": 5}), **place(column))


def dashed(fig: go.Figure, column: int, x: Sequence[float], y: Sequence[float], dash: str = "dash") -> None:
    """Draw a thin reference line between two points."""
    stroke = {"color": theme.DENSE, "width": 1.2, "dash": dash}
    fig.add_trace(go.Scatter(x=list(x), y=list(y), mode="lines", line=stroke), **place(column))


def dots(fig: go.Figure, column: int, found: Sequence[Evaluation], tint: str, offset: float) -> None:
    """Draw an accuracy with its 95 % interval in each row of a panel."""
    reach = {"array": [a.high - a.value for a in found], "arrayminus": [a.value - a.low for a in found]}
    whiskers = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 0, "color": tint, **reach}
    marks = {"mode": "markers", "marker": {"color": tint, "size": 9}, "error_x": whiskers}
    fig.add_trace(go.Scatter(x=[a.value for a in found], y=[row + offset for row in range(len(found))], **marks), **place(column))


def bars(fig: go.Figure, column: int, labels: Sequence[str], values: Sequence[float], tint: str | Sequence[str], **style: Any) -> None:
    """Draw bars with direct labels of one size, lying unless the style says otherwise."""
    lying = style.pop("orientation", "h") == "h"
    along = {"x": list(values), "y": list(labels), "orientation": "h"} if lying else {"x": list(labels), "y": list(values)}
    look = {"textposition": "outside", "textfont": {"size": 12}, "constraintext": "none", "cliponaxis": False, **style}
    fig.add_trace(go.Bar(**along, marker={"color": tint, "line": {"width": 0}}, **look), **place(column))


def accuracy_axes(fig: go.Figure, column: int, dense: float, *, what: str = "weights removed", start: float = 0.0) -> None:
    """Set percent on both axes of a panel, and draw the dense model as a dashed line."""
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1] if start < 0.5 else [0.5, 0.6, 0.7, 0.8, 0.9, 1]
    fig.update_xaxes(title_text=what, tickformat=".0%", range=[start - 0.02, 1.02], tickvals=ticks, **place(column))
    fig.update_yaxes(tickformat=".0%", range=[-0.03, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1], **place(column))
    dashed(fig, column, [start - 0.02, 1.02], [dense, dense])
    note(fig, column, 1.02, dense, f"dense {percent(dense)}", theme.DENSE, xanchor="right", yanchor="bottom")


def note(fig: go.Figure, column: int, x: float, y: float, text: str, tint: str, **where: Any) -> None:  # noqa: PLR0917 (a place and a text)
    """Write a few words into a panel at a place in its own units."""
    fig.add_annotation(x=x, y=y, text=text, showarrow=False, font={"size": 12, "color": tint}, **where, **place(column))


def names(fig: go.Figure, column: int, keys: Sequence[Key], *, x: float = 0.02, top: float = 0.42) -> None:
    """Write what the colours of a panel mean into its free corner, one line each; ``x`` and ``top`` are shares of the panel."""
    axis = "" if column == 1 else str(column)
    for row, (tint, name) in enumerate(keys):
        text = f'<span style="color:{tint}"><b>━━</b></span> {name}'
        where = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "x": x, "y": top, "yshift": -19 * row}
        fig.add_annotation(**where, text=text, showarrow=False, xanchor="left", yanchor="middle", font={"size": 12.5})


def rows(fig: go.Figure, column: int, labels: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of a panel, the first one on top."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": list(labels)}
    fig.update_yaxes(range=[len(labels) - 0.5, -0.5], showgrid=False, **ticks, **place(column))


def listed(fig: go.Figure, column: int, labels: Sequence[str]) -> None:
    """Set names on the upright axis of a panel of bars, the first one on top."""
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=list(labels)[::-1], showgrid=False, **place(column))
