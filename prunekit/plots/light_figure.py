"""Figures as plain dictionaries, which plotly checks when somebody looks into them; and what a figure shows as a table.

Building a chart of plotly's objects takes longer than all else that a page does when a slider moves: each property has a validator, each
nested one an object. The pages send what was written down; whoever asks a figure for its ``data`` or ``layout``, as the tests do of every
chart, gets plotly's objects, validated, and from then on the figure is plotly's own.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

bar, heatmap, scatter = (partial(dict[str, Any], type=kind) for kind in ("bar", "heatmap", "scatter"))
"""A trace as a dictionary: ``bar(x=..., y=...)`` takes what ``go.Bar`` does, nested properties as dictionaries."""

SHORT = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
PLAIN = "plain"


class LightFigure(go.Figure):  # type: ignore[misc]  # plotly has no types
    """A figure that plotly has not looked at yet."""

    def __init__(self, data: list[dict[str, Any]], layout: dict[str, Any], templates: dict[str, dict[str, Any]]) -> None:
        self.__dict__.update({PLAIN: (data, layout), "templates": templates})

    def __getattr__(self, name: str) -> Any:
        """Become plotly's own figure when something of its inside is asked for."""
        plain = self.__dict__.pop(PLAIN, None) if name.startswith("_") and not name.startswith("__") else None
        if plain is None:
            raise AttributeError(name)
        super().__init__(*plain)
        return getattr(self, name)

    def to_dict(self) -> dict[str, Any]:
        """Return what is sent: arrays of numbers as plotly.js's typed arrays."""
        plain = vars(self).get(PLAIN)
        if plain is None:
            found: dict[str, Any] = super().to_dict()
            return found
        data, layout = plain
        return {"data": [_sent(trace) for trace in data], "layout": {**_sent(layout), "template": self.templates[layout["template"]]}}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as plotly's own figure."""
        return go.Figure, (self.to_dict(),)


def plain_parts(figure: go.Figure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return traces and layout as dictionaries, without making objects of them."""
    if isinstance(figure, LightFigure) and PLAIN in vars(figure):
        data, layout = vars(figure)[PLAIN]
        return data, layout
    told = figure.to_dict()
    return list(told["data"]), told["layout"]


def _sent(value: Any) -> Any:
    """Return a property as it is sent."""
    if isinstance(value, dict):
        return {name: _sent(part) for name, part in value.items()}
    if isinstance(value, (pd.Series, pd.Index)):
        return _array(value.to_numpy())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_sent(part) for part in value]
    return value


def _array(values: NDArray[Any]) -> Any:
    """Return numbers as a typed array of as few bits as hold them, anything else as a list."""
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size:
        values = values.astype(_narrow(values))
    short = SHORT.get(str(values.dtype))
    if short is None or not values.size:
        return values.tolist()
    sent = {"dtype": short, "bdata": base64.b64encode(values.tobytes()).decode("ascii")}
    return sent if values.ndim == 1 else {**sent, "shape": ", ".join(map(str, values.shape))}


def _narrow(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the smallest type that plotly.js knows and that holds all values; their own where none does."""
    low, high = values.min(), values.max()
    kinds = (np.int8, np.int16, np.int32) if values.dtype.kind == "i" else (np.uint8, np.uint16, np.uint32)
    return np.dtype(next((kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max), values.dtype))


MOST_ROWS = 5000


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
