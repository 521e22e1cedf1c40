"""What pictures made of cells share: labelled axes, lines between channels, colours, a colour bar and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit import colours
from prunekit.plots import light_figure, theme

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Scale = list[list[object]]

ACROSS, DOWN, LARGEST = 500, 470, 22  # pixels: nominal width, greatest height, largest cell
TOP, BOTTOM = 46, 44  # pixels: room for the legend, and for the axis below


@dataclass(frozen=True)
class Axis:
    """One side of a picture."""

    title: str  # what lies along it
    labels: list[str]  # one for each cell, all different: what hovering says
    ticks: dict[str, list[Any]]  # ``tickvals`` (places, counted in cells) and ``ticktext``
    breaks: list[float]  # places of the lines that part channels


def channels(word: str, which: range, inner: Sequence[str] = ("",), every: int = 0) -> Axis:
    """Return an axis of channels, each with one cell for every ``inner`` label.

    ``every``: lines before each channel whose index is a multiple of this; 0 for lines between channels of several cells.
    """
    size = len(inner)
    ticks = [c for c in which if c % spacing(len(which)) == 0]
    gaps = [c for c in which[1:] if (c % every == 0 if every else size > 1)]
    return Axis(
        word,
        [f"{word} {c}{part}" for c in which for part in inner],
        {"tickvals": [(c - which.start) * size + (size - 1) / 2 for c in ticks], "ticktext": [str(c) for c in ticks]},
        [(c - which.start) * size - 0.5 for c in gaps],
    )


def spacing(count: int) -> int:
    """Return the power of two between labelled channels that leaves at most twelve labels."""
    return int(2 ** max(0, math.ceil(math.log2(max(count, 1) / 12))))


def picture(traces: Sequence[object], down: Axis, across: Axis, *, dark: bool, square: bool = False, line: int = 0) -> go.Figure:
    """Put a picture of cells together; ``line`` is the width between channels in pixels, 0 for what suits a cell."""
    rows, columns = len(down.labels), len(across.labels)
    cell = min(ACROSS / columns, DOWN / rows, LARGEST)
    tall = rows * cell if square else min(max(rows * cell, 180), rows * LARGEST)
    lines = _lines(down, across, theme.paper(dark), line or (1 if cell < 4 else 2))
    xaxis, yaxis = (
        dict[str, object]({"title": {"text": side.title}, **side.ticks, "showgrid": False, "type": "category"}) for side in (across, down)
    )
    if square:
        xaxis |= {"constrain": "domain", "constraintoward": "left"}
        yaxis |= {"scaleanchor": "x", "constrain": "domain", "constraintoward": "top"}
    layout: dict[str, object] = {"xaxis": xaxis, "yaxis": {**yaxis, "autorange": "reversed"}, **({"shapes": lines} if lines else {})}
    return theme.figure(traces, dark=dark, height=round(tall) + TOP + BOTTOM, margin={"t": TOP, "b": BOTTOM, "l": 54}, **layout)


def _lines(down: Axis, across: Axis, colour: str, width: float) -> list[dict[str, object]]:
    """Return the lines between channels as one shape; on a category axis its numbers are places."""
    rows, columns = len(down.labels) - 0.5, len(across.labels) - 0.5
    path = [f"M-0.5,{y}H{columns}" for y in down.breaks] + [f"M{x},-0.5V{rows}" for x in across.breaks]
    return [{"type": "path", "path": "".join(path), "line": {"color": colour, "width": width}, "layer": "above"}] if path else []


def kept_and_removed(z: Floats, kept: Bools, *, values: bool, reach: float, most: float, dark: bool, **look: object) -> list[object]:
    """Return kept and removed weights as two heat maps with a legend, each NaN where the other is."""
    gone = faded(dark, values)
    common = {"zmin": -reach, "zmax": reach, "hoverongaps": False, **look}
    bar = {"colorbar": value_bar(reach, most, dark)} if values else {}
    scale = signed(dark) if values else flat(theme.KEPT)
    stays = light_figure.heatmap(name="kept", z=_where(kept, z), colorscale=scale, showscale=values, **bar, **common)
    goes = light_figure.heatmap(name="removed", z=_where(~kept, z), colorscale=flat(gone), showscale=False, **common)
    if values:
        return [stays, goes, *legend({"removed": gone})]
    return [stays, goes, *legend({"kept": theme.KEPT, "removed": gone})]


def faded(dark: bool, values: bool = False) -> str:
    """Return the colour of removed cells: fainter where kept ones are coloured by value, stronger on a dark page, where it turns brown."""
    return theme.removed(dark, (0.32 if values else 0.45) + (0.2 if dark else 0))


def _where(here: Bools, z: Floats) -> NDArray[np.float32]:
    """Return values as they are sent, NaN elsewhere."""
    return np.where(here, z, np.nan).astype(np.float32)


def signed(dark: bool) -> Scale:
    """Return the colours of kept weights, by value: indigo below zero, teal above."""
    return [
        [0, colours.BELOW_DARK if dark else colours.BELOW],
        [0.5, theme.grid(dark)],
        [1, colours.ABOVE_DARK if dark else colours.ABOVE],
    ]


def flat(colour: str) -> Scale:
    """Return a scale of one colour."""
    return [[0, colour], [1, colour]]


def bar(low: str, middle: str, high: str, ends: tuple[float, float], dark: bool) -> dict[str, object]:
    """Return a slim colour bar above the picture, across from a legend of one name."""
    place = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "ypad": 4, "xpad": 0}
    look = {"thickness": 9, "lenmode": "pixels", "len": 160, "outlinewidth": 0, "ticks": ""}
    ticks = {"tickvals": [ends[0], sum(ends) / 2, ends[1]], "ticktext": [low, middle, high]}
    return {**place, **look, **ticks, "tickfont": {"color": theme.muted(dark), "size": 12}}


def value_bar(reach: float, most: float, dark: bool) -> dict[str, object]:
    """Return the colour bar of values; its ends say so where colours saturate below the largest one."""
    low, high = (f"{v:.2g}".replace("-", "\u2212") for v in (-reach, reach))
    return bar(*((f"≤ {low}", "0", f"≥ {high}") if reach < most * 0.999 else (low, "0", high)), (-reach, reach), dark)


def legend(names: dict[str, str]) -> list[dict[str, Any]]:
    """Return empty traces that only stand in the legend: a name and its colour each."""
    mark = {"mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip", "showlegend": True}
    return [
        light_figure.scatter(name=name, marker={"symbol": "square", "size": 11, "color": colour}, **mark) for name, colour in names.items()
    ]
