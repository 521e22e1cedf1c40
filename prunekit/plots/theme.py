"""The one visual language: the colours of `prunekit.colours` as plots use them, and a plotly template for light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import plotly.io as pio

from prunekit import colours
from prunekit.colours import DENSE, KEPT, REMOVED, RUNS, RUNS_DARK
from prunekit.plots.light_figure import LightFigure

__all__ = ["DENSE", "KEPT", "REMOVED"]

_DENSE = {False: DENSE, True: colours.DENSE_DARK}
_REMOVED = {False: REMOVED, True: colours.REMOVED_DARK}
_INK = {False: colours.INK, True: colours.INK_DARK}
_MUTED = {False: colours.MUTED, True: colours.MUTED_DARK}
_GRID = {False: colours.GRID, True: colours.GRID_DARK}
_PAPER = {False: colours.PAPER, True: colours.PAPER_DARK}
FONT = '"Source Sans", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'


def run_colour(index: int, dark: bool = False) -> str:
    """Return the colour of the run picked at place ``index``."""
    palette = RUNS_DARK if dark else RUNS
    return palette[index % len(palette)]


def fade(colour: str, opacity: float) -> str:
    """Return a hex colour as ``rgba(...)`` with an opacity."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity})"


def fade_any(colour: str, opacity: float) -> str:
    """Return a colour, ``#rrggbb`` or ``rgba(...)``, with another opacity."""
    if colour.startswith("#"):
        return fade(colour, opacity)
    return colour[: colour.rindex(",") + 1] + f"{opacity})"


def dense(dark: bool) -> str:
    """Return the colour of the dense baseline."""
    return _DENSE[dark]


def removed(dark: bool, opacity: float) -> str:
    """Return the colour of removed weights and channels."""
    return fade(_REMOVED[dark], opacity)


def faded(dark: bool, opacity: float) -> str:
    """Return the colour of removed ones laid over the page, as a solid colour: plotly then writes on it in a colour that can be read."""
    return over(_REMOVED[dark], dark, opacity)


def over(colour: str, dark: bool, opacity: float) -> str:
    """Return a hex colour laid over the page, as a solid colour."""
    pairs = ((int(colour[i : i + 2], 16), int(_PAPER[dark][i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def ink(dark: bool) -> str:
    """Return the colour of text."""
    return _INK[dark]


def muted(dark: bool) -> str:
    """Return the colour of secondary text and marks."""
    return _MUTED[dark]


def grid(dark: bool) -> str:
    """Return the colour of grid lines and of empty cells."""
    return _GRID[dark]


def paper(dark: bool) -> str:
    """Return the colour of the page, for the gaps between marks."""
    return _PAPER[dark]


def _axis(dark: bool) -> dict[str, object]:
    """Return an axis with a thin grid and no frame."""
    return {
        "gridcolor": _GRID[dark],
        "gridwidth": 1,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"color": _MUTED[dark], "size": 12},
        "title": {"font": {"color": _MUTED[dark], "size": 12}, "standoff": 8},
        "automargin": True,
    }


def template(dark: bool = False) -> go.layout.Template:
    """Return the plotly template of the house.

    Returns
    -------
    plotly.graph_objects.layout.Template
        Also registered as ``prunekit`` and ``prunekit_dark``.
    """
    layout = go.Layout(
        font={"family": FONT, "size": 13, "color": _INK[dark]},
        paper_bgcolor=colours.TRANSPARENT,
        plot_bgcolor=colours.TRANSPARENT,
        colorway=list(RUNS_DARK if dark else RUNS),
        xaxis=_axis(dark),
        yaxis=_axis(dark),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="closest",
        hoverlabel={"font": {"family": FONT, "size": 13}, "align": "left", "namelength": -1},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": {"text": ""}},
        bargap=0.15,
        annotationdefaults={"bgcolor": fade(_PAPER[dark], 0.8)},  # words lie over lines, not under them
        separators=".\u202f",  # 1 234.5, with a thin space
    )
    return go.layout.Template(layout=layout)


TEMPLATES = {False: template(False), True: template(True)}
pio.templates["prunekit"], pio.templates["prunekit_dark"] = TEMPLATES[False], TEMPLATES[True]
_PLAIN = {"prunekit": TEMPLATES[False].to_plotly_json(), "prunekit_dark": TEMPLATES[True].to_plotly_json()}


def figure(traces: Sequence[object] = (), *, dark: bool = False, height: int = 320, **layout: object) -> go.Figure:
    """Return a figure in the template of the house."""
    # uirevision keeps zoom and hidden traces while a slider moves; all at once, for each update validates the whole layout again
    name = "prunekit_dark" if dark else "prunekit"
    whole = {"template": name, "height": height, "uirevision": "prunekit", **layout}
    plain = [trace for trace in traces if isinstance(trace, dict)]
    if traces and len(plain) == len(traces):
        return LightFigure(plain, whole, _PLAIN)
    return go.Figure(data=list(traces), layout=whole)


def intervals_over(dots: go.Scatter, dark: bool) -> list[go.Scatter]:
    """Return dots and, over them, their error bars: under a dot an interval that is narrower could not be seen."""
    look = {"color": ink(dark), "thickness": 1.6, "width": 5}
    bars = {name: {**dots[name].to_plotly_json(), **look} for name in ("error_x", "error_y") if dots[name].array is not None}
    if not bars:
        return [dots]
    over = {"mode": "markers", "marker": {"size": 1, "color": ink(dark)}, "hoverinfo": "skip", "showlegend": False}
    over["legendgroup"] = dots.legendgroup
    plain = go.Scatter({name: value for name, value in dots.to_plotly_json().items() if name not in bars})
    return [plain, go.Scatter(x=dots.x, y=dots.y, cliponaxis=False, **bars, **over)]


def reference(
    fig: go.Figure, *, x: float | None = None, y: float | None = None, text: str = "", colour: str = DENSE, dash: str = "dash"
) -> None:
    """Draw a labelled straight line at ``x`` or ``y`` across the figure, which is changed."""
    note = {"text": text, "showarrow": False, "font": {"color": colour, "size": 12}}
    if x is not None:
        fig.add_shape(line_at(colour, dash, x=x))
        fig.add_annotation(x=x, y=1, yref="paper", yanchor="bottom", **note)
    if y is not None:
        fig.add_shape(line_at(colour, dash, y=y))
        height = math.log10(y) if fig.layout.yaxis.type == "log" else y  # of an annotation, as plotly counts; a shape takes the value
        fig.add_annotation(x=1, xref="paper", xanchor="right", y=height, yanchor="bottom", **note)


def line_at(colour: str, dash: str, *, x: float | None = None, y: float | None = None) -> dict[str, object]:
    """Return the shape of a straight line at ``x`` or ``y`` across the figure."""
    line = {"color": colour, "width": 1.5, "dash": dash}
    if x is not None:
        return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": line}
