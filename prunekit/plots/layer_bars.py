"""Layers as bars: kept and removed in each, in the order of depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.formatting import percent, short, size
from prunekit.plots import light_figure, theme

Sides = tuple[NDArray[np.float64], NDArray[np.float64]]

MOST_NAMED = 40  # beyond this many layers bars stand upright and names show on hovering
THICK = 0.78  # of the room of a row that a bar takes


def by_layer(frame: pd.DataFrame, *, what: str = "weights", dark: bool = False) -> go.Figure:
    """Draw for each layer the share kept and removed, with a mark at what was requested.

    Where layers lose inputs too, each is drawn as its matrix, to scale: outputs along its bar, inputs across it, so that what is filled
    is the share of its weights that stays.

    Parameters
    ----------
    frame : DataFrame
        In the order of depth; columns ``name``, ``removed`` (share, 0 to 1), ``gone`` and ``all`` (counts), ``requested`` (share, or
        NaN where the total was requested and not the layer), ``ticked`` (bool), and optionally ``cap`` (the largest share that may go,
        or NaN), ``inputs`` (share of its inputs that the layers before it no longer deliver) and ``table`` (bool: whether its inputs
        are the rows of a table).
    what : str
        What is counted: ``weights`` or ``channels``.

    Returns
    -------
    plotly.graph_objects.Figure
        A click on a bar gives the layer's index in ``customdata[0]``.
    """
    flat = len(frame) <= MOST_NAMED
    gone = frame["removed"].to_numpy()
    fed = frame["inputs"].to_numpy() if "inputs" in frame else np.zeros(len(frame))
    stays, lost = 1 - gone, bool((fed > 0).any())
    kept, removed, unfed = theme.KEPT, theme.removed(dark, 0.6), theme.removed(dark, 0.28)
    pale = theme.fade(theme.dense(dark), 0.45)
    colours = [kept if ticked else pale for ticked in frame["ticked"]]
    seen, nothing = _hover(frame, what, flat), np.zeros(len(frame))
    traces = [
        _boxes("kept", (nothing, stays), (nothing, 1 - fed), colours, seen, flat),
        _boxes("removed", (stays, gone), (nothing, nothing + 1), removed, seen, flat),
    ]
    if lost:
        traces.append(_boxes("inputs lost", (nothing, stays), (1 - fed, fed), unfed, seen, flat))
    traces.append(_requested(frame, flat, dark))
    if "cap" in frame and frame["cap"].notna().any():
        traces.append(_capped(frame, flat, dark))
    # with no bar in the first row's colour the legend would show grey; empty traces carry it
    removing = bool((gone > 0).any()) or not lost
    tables = frame["table"].to_numpy(dtype=bool) if "table" in frame else np.zeros(len(frame), dtype=bool)
    parts = [part for part, there in (("inputs", (fed > 0) & ~tables), ("rows", (fed > 0) & tables)) if there.any()]
    names = {"kept": kept} | ({"outputs removed" if lost else "removed": removed} if removing else {})
    names |= {f"{' or '.join(parts)} lost": unfed} if lost else {}
    traces += [
        light_figure.bar(x=[None], y=[None], name=name, marker={"color": colour}, hoverinfo="skip", legendrank=rank)
        for rank, (name, colour) in enumerate(names.items(), 1)
    ]
    return theme.figure(
        traces,
        dark=dark,
        height=70 + len(frame) * max(21, min(96, 370 // max(len(frame), 1))) if flat else 360,
        barmode="overlay",
        legend={"traceorder": "normal"},
        margin={"r": 26},
        **_axes(flat, list(frame["name"]), lost),
    )


def _hover(frame: pd.DataFrame, what: str, flat: bool) -> dict[str, Any]:
    """Return what all parts of a layer's matrix share: its name, and what hovering says."""
    data = [frame.index, frame["gone"], frame["all"], *(frame[name].map(percent) for name in ("removed", "inputs") if name in frame)]
    if "table" in frame:
        data.append(frame["table"].map({True: "rows", False: "inputs"}))
    part = "%{customdata[5]}" if "table" in frame else "inputs"
    hover = f"<b>%{{{'y' if flat else 'x'}}}</b><br>%{{customdata[1]:,}} of %{{customdata[2]:,}} {what} removed (%{{customdata[3]}})"
    return {
        "y" if flat else "x": frame["name"],
        "customdata": list(zip(*data, strict=True)),
        "hovertemplate": hover + (f"<br>%{{customdata[4]}} of its {part} lost" if "inputs" in frame else "") + "<extra></extra>",
    }


def _boxes(  # noqa: PLR0917 (where and how it looks)
    name: str, along: Sides, across: Sides, colour: Any, seen: dict[str, Any], flat: bool
) -> dict[str, Any]:
    """Return a part of every layer's matrix: from where and how far along the bar (outputs) and across it (inputs)."""
    (base, length), (start, share) = along, across
    return light_figure.bar(
        **{"x" if flat else "y": length},
        **({"orientation": "h"} if flat else {}),
        **seen,
        base=base.tolist(),
        offset=(THICK * (start - 0.5)).tolist(),
        width=(THICK * share).tolist(),
        name=name,
        marker={"color": colour, "line": {"width": 0}},
        showlegend=False,
    )


def _requested(frame: pd.DataFrame, flat: bool, dark: bool) -> dict[str, Any]:
    """Return the marks at the requested shares (seen from the kept side)."""
    marker: dict[str, object] = {"symbol": "line-ns" if flat else "line-ew", "size": 13, "line": {"width": 2, "color": theme.ink(dark)}}
    return _marks(frame, "requested", "asked: remove", flat, marker)


def _capped(frame: pd.DataFrame, flat: bool, dark: bool) -> dict[str, Any]:
    """Return the marks beyond which nothing may go (seen from the kept side), pointing at what stays."""
    line = {"width": 1, "color": theme.paper(dark)}
    marker: dict[str, object] = {"symbol": "triangle-left" if flat else "triangle-down", "size": 10, "color": theme.ink(dark), "line": line}
    return _marks(frame[frame["ticked"]], "cap", "cap: at most", flat, marker)


def _marks(frame: pd.DataFrame, column: str, words: str, flat: bool, marker: dict[str, object]) -> dict[str, Any]:
    """Return marks at the shares that one column holds."""
    rows = frame[frame[column].notna()]
    return light_figure.scatter(
        **dict(zip("xy" if flat else "yx", (1 - rows[column], rows["name"]), strict=True)),
        mode="markers",
        marker=marker,
        name=column,
        customdata=list(zip(rows.index, map(percent, rows[column]), strict=True)),
        hovertemplate=words + " %{customdata[1]}<extra></extra>",
        showlegend=bool(len(rows)),
    )


def _axes(flat: bool, names: list[str], lost: bool = False) -> dict[str, object]:
    """Return both axes: percent on one, layers in the order of depth on the other."""
    ticks = {"tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    share = {"range": [0, 1.03], **ticks, "title": {"text": "outputs of the layer" if lost else "share of the layer"}}
    if flat:
        named = {"tickvals": names, "ticktext": [short(name) for name in names]}
        return {"xaxis": share, "yaxis": {"autorange": "reversed", "showgrid": False, "type": "category", **named}}
    title = {"text": "layers, from input to output"}
    return {"yaxis": share, "xaxis": {"showticklabels": False, "showgrid": False, "title": title, "type": "category"}}


ACROSS = 28


def sizes(frame: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw sizes as bars, dense first, each with its bytes as a direct label.

    Parameters
    ----------
    frame : DataFrame
        Columns ``label``, ``bytes``, ``text`` (the direct label) and ``dense`` (bool); ``colour`` where bars have colours of their own;
        ``tables`` where the bytes of embedding tables are told apart (NaN where not): that part of a bar is hatched.
    """
    tables = frame["tables"].fillna(0) if "tables" in frame else pd.Series(0.0, frame.index)
    colours = list(frame["colour"]) if "colour" in frame else [theme.dense(dark) if dense else theme.KEPT for dense in frame["dense"]]
    hatched = light_figure.bar(
        x=tables, y=frame["label"], orientation="h", marker={"color": colours, "pattern": {"shape": "/", "size": 6}},
        hovertemplate="%{y}: %{x:,} bytes are embedding tables<extra></extra>",
    )  # fmt: skip
    bar = light_figure.bar(
        x=frame["bytes"] - tables,
        customdata=frame["bytes"],
        y=frame["label"],
        orientation="h",
        text=frame["text"],
        textposition="outside",
        cliponaxis=False,
        marker={"color": colours},
        hovertemplate="%{y}: %{customdata:,} bytes<extra></extra>",
    )
    # each bar and its label side by side: about `ACROSS` letters go across the picture
    ends = [number / (1 - min(len(text) / ACROSS, 0.8)) for number, text in zip(frame["bytes"], frame["text"], strict=True)]
    most = float(frame["bytes"].max()) if len(frame) else 1.0
    axes = {
        "xaxis": {"visible": False, "range": [0, max(1.5 * max(most, 1.0), *ends, 0)]},
        "yaxis": {"autorange": "reversed", "showgrid": False, "type": "category"},
    }
    bars = [hatched, bar] if tables.any() else [bar]
    return theme.figure(bars, dark=dark, height=40 + 34 * len(frame), showlegend=False, bargap=0.35, barmode="stack", **axes)


def table_words(frame: pd.DataFrame) -> str:
    """Say how many of the bytes in a chart of sizes are embedding tables; nothing of models without."""
    told = frame[frame["tables"].notna()]
    if told.empty:
        return ""
    each = [f"{size(row.tables)} of {size(row.bytes)} ({row.label})" for row in told.drop_duplicates(["bytes", "tables"]).itertuples()]
    return f"Hatched are embedding tables, looked up row by row: {'; '.join(each)}. "
