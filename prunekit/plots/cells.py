"""Pictures made of cells: what they share (axes, lines between channels, colours, a legend), and heads of attention as strips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit import colours
from prunekit.formatting import short
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


ROW = 30  # pixels


def head_strip(frame: pd.DataFrame, *, what: str = "score", dark: bool = False) -> go.Figure:
    """Draw the heads of each layer as a strip: those that stay by their score, within their layer, those that go crossed out."""
    names = list(dict.fromkeys(frame["layer"]))
    row, column = frame["layer"].map(names.index).to_numpy(), frame["head"].to_numpy(dtype=np.int64)
    shape = (len(names), int(column.max()) + 1)
    scores = frame["score"].to_numpy(dtype=np.float64) if "score" in frame else np.full(len(frame), np.nan)
    known = bool(np.isfinite(scores).any())
    kept, shown = _grid(shape, row, column, frame["kept"].to_numpy(dtype=np.float64)), _grid(shape, row, column, _within(scores, row))
    said = _grid(shape, row, column, scores)
    text = f"%{{y}}, head %{{x}}<br>{what} %{{customdata:.3g}}" if known else "%{y}, head %{x}"
    common = {"x": list(range(shape[1])), "y": list(range(shape[0])), "customdata": said, "xgap": 3, "ygap": 6, "zmin": 0, "zmax": 1}
    common |= {"hoverongaps": False, "showscale": False}
    scale = [[0, theme.fade(theme.KEPT, 0.22)], [1, theme.KEPT]] if known else flat(theme.KEPT)
    stays = np.where(kept == 1, np.where(np.isfinite(shown), shown, 1.0), np.nan)
    goes = np.where(kept == 0, 1.0, np.nan)
    traces = [
        light_figure.heatmap(z=stays, colorscale=scale, name="kept", hovertemplate=f"{text}<extra>kept</extra>", **common),
        light_figure.heatmap(z=goes, colorscale=flat(faded(dark)), hovertemplate=f"{text}<extra>removed</extra>", **common),
        *legend({"kept": theme.KEPT} | ({"removed": theme.removed(dark, 0.6)} if (kept == 0).any() else {})),
    ]
    crosses = [(x, y) for y, x in zip(*np.nonzero(kept == 0), strict=True)]
    traces.append(_crosses(crosses, dark))
    every, first = spacing(shape[1]), int(column.min())
    frames = _frames(frame, row, column, theme.ink(dark)) if "group" in frame else []
    return theme.figure(
        traces,
        dark=dark,
        height=96 + ROW * shape[0],
        margin={"t": 30, "b": 40, "l": 8, "r": 8},
        shapes=frames,
        xaxis={"title": {"text": "head"}, "tickvals": list(range(first, shape[1], every)), "showgrid": False,
               "range": [first - 0.6, shape[1] - 0.4]},
        yaxis={"tickvals": list(range(shape[0])), "ticktext": [short(str(name), 26) for name in names], "showgrid": False,
               "range": [shape[0] - 0.4, -0.6]},
    )  # fmt: skip


def head_strip_caption(frame: pd.DataFrame, what: str = "score") -> str:
    """Say how many heads stay, where most go, and what colours and frames mean."""
    gone = frame[~frame["kept"]]
    said = f"All {len(frame)} heads stay." if gone.empty else f"{len(gone)} of {len(frame)} heads go"
    if len(gone):
        worst = gone["layer"].value_counts()
        said += f", most of them in {worst.index[0]} ({worst.iloc[0]} of {int((frame['layer'] == worst.index[0]).sum())})."
    if "score" in frame and frame["score"].notna().any():
        said += f" The stronger the colour, the larger the {what} beside the other heads of its layer."
    if "group" in frame and frame.groupby(["layer", "group"], sort=False).size().max() > 1:
        said += " Heads in one frame share their keys and values."
    return said


def _grid(shape: tuple[int, int], row: NDArray[np.int64], column: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as a picture, NaN where there is no head."""
    found = np.full(shape, np.nan)
    found[row, column] = values
    return found


def _within(scores: NDArray[np.float64], row: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return scores from 0 to 1 within each layer: layers differ by what cannot be compared in one colour."""
    out = np.full(scores.shape, np.nan)
    for each in np.unique(row):
        mine = scores[row == each]
        low, high = np.nanmin(mine, initial=np.inf), np.nanmax(mine, initial=-np.inf)
        out[row == each] = (mine - low) / (high - low) if high > low else np.where(np.isfinite(mine), 1.0, np.nan)
    return out


def _crosses(places: Sequence[tuple[int, int]], dark: bool) -> dict[str, object]:
    """Return crosses over the heads that go."""
    look = {"symbol": "x-thin", "size": 11, "line": {"width": 1.6, "color": theme.muted(dark)}}
    x, y = ([int(place[side]) for place in places] for side in (0, 1))
    return light_figure.scatter(x=x, y=y, mode="markers", marker=look, hoverinfo="skip", showlegend=False)


def _frames(frame: pd.DataFrame, row: NDArray[np.int64], column: NDArray[np.int64], colour: str) -> list[dict[str, object]]:
    """Return a frame around each set of several heads that share keys and values."""
    paths = []
    for (y, _), part in frame.assign(row=row, column=column).groupby(["row", "group"], sort=False):
        if len(part) > 1:
            left, right = part["column"].min() - 0.47, part["column"].max() + 0.47
            paths.append(f"M{left},{y - 0.43}H{right}V{y + 0.43}H{left}Z")
    return [{"type": "path", "path": "".join(paths), "line": {"color": colour, "width": 1.2}}] if paths else []
