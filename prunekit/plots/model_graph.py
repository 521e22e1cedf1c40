"""A model as a graph: layers as boxes where the data flow, coloured by what shrinks together or by a figure, blocks around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.plots import theme
from prunekit.plots.channel_groups import STEADY, tail

LANE = 0.22  # width of an edge that passes a rank, where a node is about 1 wide
MAIN, OTHER, PASSING = 40.0, 1.0, 0.01  # how strongly an edge of the longest way, another one, and one that passes by is kept straight
SWEEPS, LAST = 16, 10
Place = tuple[int, int]  # node, and the rank at which its edges pass by; its own for the node itself
Links = dict[Place, dict[Place, float]]


@dataclass(frozen=True)
class Drawing:
    """Places in units of a node's width across and of ranks down."""

    ranks: NDArray[np.int64]  # [nodes]: row of each node, from 0
    x: NDArray[np.float64]  # [nodes]: middle of each node
    routes: dict[tuple[int, int], list[float]]  # edge that flows down -> where it passes each rank, both ends included


def layered(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Drawing:
    """Place nodes that are numbered in an order along which edges flow: down the page, long edges in lanes of their own.

    Sugiyama, Tagawa, Toda 1981: ranks by the longest path, order within a rank by barycentres, then places that keep the order and are
    as near as they can be to the middle of their neighbours.
    """
    forward = sorted((a, b) for a, b in edges if a < b)
    ranks, below = np.zeros(len(widths), np.int64), np.zeros(len(widths), np.int64)
    for a, b in forward:
        ranks[b] = max(ranks[b], ranks[a] + 1)
    for a, b in reversed(forward):
        below[a] = max(below[a], below[b] + 1)
    reach = ranks.copy()  # how far down the edges of a node pass by: they share one lane
    for a, b in forward:
        reach[a] = max(reach[a], ranks[b] - 1)
    rows: list[list[Place]] = [[] for _ in range(int(ranks.max(initial=0)) + 1)]
    up: Links = {}
    down: Links = {}
    for a in range(len(widths)):
        for rank in range(int(ranks[a]), int(reach[a]) + 1):
            rows[rank].append((a, rank))
            up[a, rank], down[a, rank] = {}, {}
            if rank > ranks[a]:
                up[a, rank][a, rank - 1] = down[a, rank - 1][a, rank] = PASSING
    taken = set[int]()
    for a, b in forward:
        above, here = (a, int(ranks[b]) - 1), (b, int(ranks[b]))
        main = ranks[b] == ranks[a] + 1 and below[b] == below[a] - 1 and not {a, ~b} & taken
        taken |= {a, ~b} if main else set()
        up[here][above] = down[above][here] = MAIN if main else OTHER if above[1] == ranks[a] else PASSING
    wide = {place: widths[place[0]] if place[1] == ranks[place[0]] else LANE for row in rows for place in row}
    x = _placed(rows, up, down, wide)
    own = np.array([x[a, int(ranks[a])] for a in range(len(widths))])
    routes = {(a, b): [*(x[a, rank] for rank in range(int(ranks[a]), int(ranks[b]))), float(own[b])] for a, b in forward}
    return Drawing(ranks, own, routes)


def _placed(rows: list[list[Place]], up: Links, down: Links, wide: Mapping[Place, float]) -> dict[Place, float]:
    """Order each row by the middle of its neighbours, and place it there as far as widths allow; down and up in turns."""
    x = {place: float(number) for row in rows for number, place in enumerate(row)}
    for sweep in range(SWEEPS):
        settled = sweep >= SWEEPS - LAST  # the order is kept, and both sides have a say
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted, weights = {}, {}
            for place in row:
                first, second = (up, down) if sweep % 2 == 0 else (down, up)
                near = {**up[place], **down[place]} if settled else first[place] or second[place]
                weights[place] = sum(near.values()) or PASSING
                wanted[place] = sum(x[each] * pull for each, pull in near.items()) / weights[place] if near else x[place]
            if not settled:
                row.sort(key=wanted.__getitem__)
            x.update(zip(row, _apart(*([of[p] for p in row] for of in (wanted, wide, weights))), strict=True))
    return x


def _apart(wanted: Sequence[float], widths: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted, by squares, that keep the order and leave room for each width."""
    ends = np.cumsum(widths) - np.asarray(widths) / 2
    pools: list[list[float]] = []  # of shifted places that were pooled: mean, weight, how many
    for place, weight in zip(np.asarray(wanted) - ends, weights, strict=True):
        pools.append([float(place), weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight_b, count = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + mean * weight_b) / (before[1] + weight_b)
            before[1] += weight_b
            before[2] += count
    return [float(v) for v in np.repeat([p[0] for p in pools], [int(p[2]) for p in pools]) + ends]


PITCH = 30  # pixels between two ranks where all fit
FITS = 34  # ranks that are shown at once; of more the first, and the rest by dragging
FIRST = 24
HIGH = 1150  # pixels
BOX, TITLE = 0.72, 0.75  # height of a layer, and room for a block's name, in ranks
PAD = 0.22  # beside the layers of a block: edges that pass by lie in its frame
NARROW = 5.0  # widths of a layer that are shown at least, so that one chain does not become wide bars
ALONE, STUCK = -1, -2


def model_graph(
    nodes: pd.DataFrame,
    edges: Sequence[tuple[int, int]],
    *,
    value: str = "",
    worst: float = 1.0,
    form: str = ".0%",
    revision: str = "",
    dark: bool = False,
) -> go.Figure:
    """Draw layers and what flows between them.

    ``nodes``: in an order along which the data flow; columns ``kind`` (``layer``, ``join``, ``input`` or ``output``), ``label``, ``group``
    (what shrinks together has one number, counted in the order of colours; `ALONE` or `STUCK` otherwise), ``value`` (the figure to colour
    by, NaN for none), ``said`` (shown on hovering), ``faded`` (whether others are singled out), ``block`` (the module around it, or empty)
    and ``times`` (how many blocks that module stands for). A click gives the row of a node, or the name of a block, in ``customdata[0]``.
    """
    boxed = ((nodes["kind"] == "layer") | ((nodes["kind"] == "join") & (nodes["label"].str.len() > 1))).to_numpy()
    drawing = layered([1.15 if kind == "layer" else 0.75 if box else 0.5 for kind, box in zip(nodes["kind"], boxed, strict=True)], edges)
    down = _rows(nodes, drawing)
    y = down[drawing.ranks]
    marks = nodes.assign(x=drawing.x, y=y, row=range(len(nodes)))
    marks["dim"] = np.where(marks["faded"], 0.25, 1.0)
    boxes = _boxes(marks)
    layers = marks[marks["kind"] == "layer"]
    traces = [_edges(drawing, down, boxed, dark), _arrows(drawing, y, boxed, dark)]
    if value:
        known = layers["value"].notna()
        traces += [_bars(layers[~known], dark), _bars(layers[known], dark, value=value, worst=worst, form=form)]
    else:
        traces.append(_bars(layers, dark))
    words = marks[(marks["kind"] == "join") & boxed].assign(group=ALONE)
    traces += [_bars(words, dark, wide=0.6), _joins(marks[~boxed], dark), _titles(boxes, dark)]
    low, high = (
        min(drawing.x.min() - 0.7, boxes["left"].min() if len(boxes) else 0),
        max(drawing.x.max() + 0.7, boxes["right"].max() if len(boxes) else 0),
    )
    spare = max(NARROW - (high - low), 0) / 2
    last = float(down[-1]) if len(down) <= FITS else float(down[FIRST])
    fig = theme.figure(
        traces, dark=dark, height=int(min(max(PITCH * (last + 1.6), 260), HIGH)), showlegend=False, bargap=0, barmode="overlay",
        dragmode="pan", uirevision=revision, shapes=_shapes(boxes, dark),
    )  # fmt: skip
    fig.update_xaxes(visible=False, range=[low - spare, high + spare])
    fig.update_yaxes(visible=False, range=[last + 0.8, -0.8])
    return fig


def _rows(nodes: pd.DataFrame, drawing: Drawing) -> NDArray[np.float64]:
    """Return how far down each rank lies: a block's name takes room above its first one."""
    first = pd.Series(drawing.ranks).groupby(nodes["block"].to_numpy()).min()
    opening = {int(rank) for block, rank in first.items() if block}
    extra = [TITLE if rank in opening else 0.0 for rank in range(int(drawing.ranks.max(initial=0)) + 1)]
    return np.asarray(np.arange(len(extra)) + np.cumsum(extra))


def _boxes(marks: pd.DataFrame) -> pd.DataFrame:
    """Return the frame around each block."""
    inside = marks[marks["block"] != ""]
    half = np.where(inside["kind"] == "layer", 0.5, 0.2)
    spans = inside.assign(left=inside["x"] - half - PAD, right=inside["x"] + half + PAD).groupby("block", sort=False)
    found = spans.agg(left=("left", "min"), right=("right", "max"), top=("y", "min"), bottom=("y", "max"), times=("times", "max"))
    return found.reset_index()


def _shapes(boxes: pd.DataFrame, dark: bool) -> list[dict[str, Any]]:
    """Return the frames, with a second sheet behind one that stands for several blocks."""
    line = {"color": theme.muted(dark), "width": 1}
    shapes = []
    for box in boxes.itertuples():
        for shift in (0.08, 0.0) if box.times > 1 else (0.0,):
            shapes.append(
                {
                    "type": "rect", "layer": "below", "line": line, "opacity": 0.7, "fillcolor": theme.over(theme.dense(dark), dark, 0.07),
                    "x0": box.left + shift, "x1": box.right + shift, "y0": box.top - 1.1 + shift, "y1": box.bottom + 0.4 + shift,
                }
            )  # fmt: skip
    return shapes


def _titles(boxes: pd.DataFrame, dark: bool) -> go.Bar:
    """Return the names of the blocks, as bars without a colour: so they grow and go with the zoom."""
    text = [f"<b>{tail(row.block, 24)} × {row.times}</b>" if row.times > 1 else tail(row.block, 30) for row in boxes.itertuples()]
    does = {True: "{} blocks that are built alike: click to unfold them", False: "click to fold it with those that are built alike"}
    said = [f"<b>{row.block}</b><br>{does[row.times > 1].format(row.times)}" for row in boxes.itertuples()]
    return go.Bar(
        orientation="h", base=boxes["left"] + 0.1, x=boxes["right"] - boxes["left"] - 0.13, y=boxes["top"] - 0.73, width=0.64,
        text=text, hovertext=said,
        marker={"color": theme.over(theme.dense(dark), dark, 0.07), "line": {"width": 0}}, textposition="inside", insidetextanchor="start",
        textangle=0, insidetextfont={"size": 12, "color": theme.ink(dark)}, customdata=[[name] for name in boxes["block"]],
        hovertemplate="%{hovertext}<extra></extra>", **STEADY,
    )  # fmt: skip


def _edges(drawing: Drawing, down: NDArray[np.float64], boxed: NDArray[np.bool_], dark: bool) -> go.Scatter:
    """Return all edges as one line, straight but for the gap below where they come from or above where they end; none that goes back."""
    x: list[float | None] = []
    y: list[float | None] = []
    gap = 1 - BOX
    for (a, b), route in drawing.routes.items():
        first, last = int(drawing.ranks[a]), int(drawing.ranks[b])
        bottom = float(down[first]) + (BOX / 2 if boxed[a] else 0.0)
        top = float(down[last]) - (BOX / 2 if boxed[b] else 0.0)
        points = [(route[0], bottom)]
        for place, rank in zip(route[1:-1], range(first + 1, last), strict=True):
            points += [(place, float(down[rank - 1]) + BOX / 2 + gap), (place, float(down[rank]) + BOX / 2)]
        points += [(points[-1][0], float(down[last]) - BOX / 2 - gap), (route[-1], top)]
        x += [*(place for place, _ in points), None]
        y += [*(place for _, place in points), None]
    return go.Scatter(x=x, y=y, mode="lines", line={"color": theme.muted(dark), "width": 1.2}, hoverinfo="skip")


def _arrows(drawing: Drawing, y: NDArray[np.float64], boxed: NDArray[np.bool_], dark: bool) -> go.Scatter:
    """Return a head where edges arrive at a layer."""
    ends = sorted({b for _, b in drawing.routes if boxed[b]})
    return go.Scatter(
        x=drawing.x[ends], y=y[ends] - BOX / 2 - 0.07, mode="markers", hoverinfo="skip",
        marker={"symbol": "triangle-down", "size": 7, "color": theme.muted(dark)},
    )  # fmt: skip


def group_colour(group: int, dark: bool) -> tuple[str, float]:
    """Return the colour of what shrinks together, and how strongly it fills a box: not at all where a layer shrinks alone."""
    if group == STUCK:
        return theme.muted(dark), 0.3
    return (theme.ink(dark), 0.0) if group == ALONE else (theme.run_colour(group, dark), 0.3)


def _bars(layers: pd.DataFrame, dark: bool, *, value: str = "", worst: float = 1.0, form: str = ".0%", wide: float = 1.0) -> go.Bar:
    """Return layers as boxes whose names shrink, and go, with the zoom."""
    colours = [(*group_colour(group, dark), dim) for group, dim in zip(layers["group"], layers["dim"], strict=True)]
    outline = [theme.fade(colour, dim) for colour, _, dim in colours]
    fill = [theme.over(colour, dark, strength * dim) for colour, strength, dim in colours]
    marker: dict[str, Any] = {"color": fill, "line": {"color": outline, "width": 1.6}, "cornerradius": 4}
    if value:
        marker |= {
            "color": layers["value"], "cmin": 0, "cmax": worst, "colorscale": [[0, theme.faded(dark, 0.0)], [1, theme.faded(dark, 0.9)]],
            "colorbar": {
                "title": {"text": value, "side": "right"}, "thickness": 10, "len": 0.5, "y": 0, "yanchor": "bottom", "x": 1,
                "tickformat": "~%" if form.endswith("%") else form, "nticks": 4, "outlinewidth": 0,
            },
        }  # fmt: skip
    return go.Bar(
        orientation="h", base=layers["x"] - wide / 2, x=[wide] * len(layers), y=layers["y"], width=BOX, marker=marker,
        text=[tail(label, 24) for label in layers["label"]], hovertext=layers["said"], customdata=[[row] for row in layers["row"]],
        textposition="inside", insidetextanchor="middle", textangle=0,
        insidetextfont={"size": 12} if value else {"size": 12, "color": theme.ink(dark)},
        hovertemplate="%{hovertext}<extra></extra>", **STEADY,
    )  # fmt: skip


def _joins(joins: pd.DataFrame, dark: bool) -> go.Scatter:
    """Return where streams meet, and the ends of the model."""
    return go.Scatter(
        x=joins["x"], y=joins["y"], mode="markers+text", text=joins["label"], hovertext=joins["said"],
        marker={
            "size": [18 if len(label) < 2 else 10 for label in joins["label"]], "color": theme.paper(dark), "opacity": 1,
            "line": {"color": theme.muted(dark), "width": 1.4},
        },
        textposition=["middle center" if len(label) < 2 else "middle right" for label in joins["label"]],
        textfont={"size": 12, "color": theme.ink(dark)}, customdata=[[row] for row in joins["row"]],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}, "textfont": {"color": theme.ink(dark)}},
        unselected={"marker": {"opacity": 1}, "textfont": {"color": theme.ink(dark)}},
    )  # fmt: skip
