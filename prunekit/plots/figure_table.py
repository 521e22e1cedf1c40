"""What a figure shows, as a table: for those who cannot see it, and for those who want the figures themselves."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.plots.light_figure import plain_parts

MOST_ROWS = 5000
ORIENTED = {"x": "xaxis", "y": "yaxis"}


def figure_table(figure: go.Figure) -> tuple[pd.DataFrame, int]:
    """Return the points of a figure's traces, one a row, and how many rows there are in all.

    Columns are called as the axes are. Traces that say nothing when one points at them, such as bands and guides, are left out.
    """
    data, layout = plain_parts(figure)
    frames = [_rows(trace, layout) for trace in data if trace.get("hoverinfo") != "skip"]
    frames = [frame for frame in frames if len(frame)] or [_rows(trace, layout) for trace in data]
    if not frames:
        return pd.DataFrame(), 0
    found = pd.concat(frames, ignore_index=True).dropna(axis=1, how="all")
    if "of" in found and (found["of"] == "").all():
        found = found.drop(columns="of")
    return found.head(MOST_ROWS), len(found)


def _rows(trace: dict[str, Any], layout: dict[str, Any]) -> pd.DataFrame:
    """Return the points of one trace."""
    across, up = (_axis(layout, trace.get(f"{side}axis") or side) for side in "xy")
    x, y = _values(trace.get("x")), _values(trace.get("y"))
    columns: dict[str, Any] = {"of": str(trace.get("name") or "")}
    if trace.get("type") == "heatmap":
        z = np.asarray(_values(trace.get("z")), dtype=object)
        if z.ndim != 2:
            return pd.DataFrame()
        rows, places = np.indices(z.shape)
        columns |= {up: _picked(y, rows), across: _picked(x, places), "value": z.ravel()}
        return pd.DataFrame(columns).dropna(subset=["value"])
    n = max(len(x), len(y))
    names = {across: x, up if up != across else f"{up} (up)": y}
    columns |= {name: list(values) if len(values) == n else list(range(n)) for name, values in names.items()}
    text = _values(trace.get("text"))
    if len(text) == n and any(map(_is_words, text)):
        columns["label"] = list(text)
    return pd.DataFrame(columns).dropna(subset=list(names), how="any")


def _axis(layout: dict[str, Any], axis: str) -> str:
    """Return what stands on an axis."""
    title = layout.get(f"{axis[0]}axis{axis[1:]}", {}).get("title") or {}
    return str(title if isinstance(title, str) else title.get("text") or {"x": "across", "y": "up"}[axis[0]])


def _values(values: Any) -> Any:
    """Return the values of a property as a sequence, whichever way they are written down."""
    if values is None or isinstance(values, str):
        return []
    if isinstance(values, dict) and "bdata" in values:
        flat = np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"]))
        return flat.reshape([int(side) for side in str(values["shape"]).split(",")]) if "shape" in values else flat
    return np.asarray(values) if isinstance(values, (pd.Series, pd.Index)) else values


def _picked(labels: Any, places: Any) -> list[Any]:
    """Return the label of each place; the place itself where there is none."""
    return [labels[i] if i < len(labels) else int(i) for i in places.ravel()]


def _is_words(text: Any) -> bool:
    """Return whether a label is more than a number said again."""
    return isinstance(text, str) and any(letter.isalpha() for letter in text)
