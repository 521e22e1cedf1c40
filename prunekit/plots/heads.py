"""Heads of attention as strips: a cell for each, layer by layer; heads that share keys and values stand in one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.formatting import short
from prunekit.plots import cells, light_figure, theme

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
    scale = [[0, theme.fade(theme.KEPT, 0.22)], [1, theme.KEPT]] if known else cells.flat(theme.KEPT)
    stays = np.where(kept == 1, np.where(np.isfinite(shown), shown, 1.0), np.nan)
    goes = np.where(kept == 0, 1.0, np.nan)
    traces = [
        light_figure.heatmap(z=stays, colorscale=scale, name="kept", hovertemplate=f"{text}<extra>kept</extra>", **common),
        light_figure.heatmap(z=goes, colorscale=cells.flat(cells.faded(dark)), hovertemplate=f"{text}<extra>removed</extra>", **common),
        *cells.legend({"kept": theme.KEPT} | ({"removed": theme.removed(dark, 0.6)} if (kept == 0).any() else {})),
    ]
    crosses = [(x, y) for y, x in zip(*np.nonzero(kept == 0), strict=True)]
    traces.append(_crosses(crosses, dark))
    every, first = cells.spacing(shape[1]), int(column.min())
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
