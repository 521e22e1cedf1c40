"""What models answer to one sample: shares as bars beside each other; boxes and classes of pixels drawn over a picture, as SVG."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from prunekit.colours import CLASSES, WHITE
from prunekit.formatting import listed, percent, short
from prunekit.plots import light_figure, theme
from prunekit.tasks.shown import MOST, Bars, Boxes, ClassMap

ROW = 15  # pixels of a bar


def answer_bars(answers: Mapping[str, Bars], *, colours: Sequence[str] = (), most: int = MOST, dark: bool = False) -> go.Figure:
    """Draw the shares of several models, the largest of the first on top.

    ``colours``: of the models; by default slate for the first and teal for the second.
    """
    first, *others = answers.values()
    places = first.first(*others, most=most)
    labels = [short(first.name(k), 28) for k in places]
    shades = list(colours) or [theme.dense(dark), theme.KEPT][: len(answers)]
    traces = [
        light_figure.bar(
            x=[float(each.shares[k]) for k in places], y=list(range(len(places))), orientation="h", name=name, marker={"color": shade},
            text=[percent(float(each.shares[k])) for k in places], textposition="outside", cliponaxis=False, customdata=labels,
            hovertemplate="<b>%{customdata}</b> %{text}<extra>" + name + "</extra>",
        )
        for (name, each), shade in zip(answers.items(), shades, strict=True)
    ]  # fmt: skip
    ticks = {"tickvals": list(range(len(places))), "ticktext": labels, "tickfont": {"size": 14, "color": theme.ink(dark)}}
    return theme.figure(
        traces,
        dark=dark,
        height=78 + len(places) * (10 + ROW * len(answers)),
        barmode="group",
        bargap=0.28,
        legend={"traceorder": "normal"},
        xaxis={"range": [0, 1.12], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1], "title": {"text": ""}},
        yaxis={"autorange": "reversed", "showgrid": False, **ticks},
    )


def answers_caption(answers: Mapping[str, Bars]) -> str:
    """Say what the first of some models answers, what the others make of it, and how far they are from it."""
    (name, first), *rest = answers.items()
    said = [f"{name} says “{first.said}” ({percent(float(first.shares[first.best]))})"]
    for other_name, other in rest:
        theirs = "the same" if first.best == other.best else f"“{other.said}”"
        said.append(f"{other_name} {theirs} ({percent(float(other.shares[other.best]))})")
    if not rest:
        return f"{said[0]}."
    far = {other_name: percent(float(abs(first.shares - other.shares).sum() / 2)) for other_name, other in rest}
    apart = listed([f"{share} ({other_name})" for other_name, share in far.items()]) if rest[1:] else far[rest[0][0]]
    return (
        f"{', '.join(said)}. {apart} of the share lies elsewhere than before (total variation), on this one sample: what a test set says "
        "stands above."
    )


Picture = NDArray[np.uint8]

RIGHT, WRONG, MISSED = "right", "wrong", "missed"
BACKGROUND = "background"
OVERLAP = 0.5  # of the areas, from which a box counts as found: that of mAP@50
LINE, LETTER = 0.006, 0.035  # of a picture's longer side: a box's line, and the height of its words
SMALL = 128  # pixels of a side, below which they are shown as they are
LEGEND = 12  # classes that a legend names


def class_colour(k: int) -> str:
    """Return the colour of a class."""
    return CLASSES[k % len(CLASSES)]


def verdicts(found: Boxes, truth: Boxes | None) -> tuple[list[str], list[bool]]:
    """Return whether each box that was found is "right" or "wrong", and whether each object was found; of no known truth all are "right".

    The surest boxes come first; each takes the free object of its class that it overlaps most, by half at least.
    """
    if truth is None:
        return [RIGHT] * len(found.boxes), []
    free, told = np.ones(len(truth.boxes), dtype=bool), []
    for box, k in zip(found.boxes, found.classes, strict=True):
        low, high = np.maximum(box[:2], truth.boxes[:, :2]), np.minimum(box[2:], truth.boxes[:, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        overlap = shared / np.maximum((box[2:] - box[:2]).prod() + (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1) - shared, 1e-9)
        overlap[~free | (truth.classes != k)] = -1
        best = int(overlap.argmax()) if len(overlap) else -1
        hit = best >= 0 and overlap[best] >= OVERLAP
        told.append(RIGHT if hit else WRONG)
        if hit:
            free[best] = False
    return told, (~free).tolist()


def boxes_over(picture: Picture, found: Boxes, truth: Boxes | None = None, *, dark: bool = False) -> str:
    """Return a picture [H, W, C] with boxes as SVG: right ones, wrong ones, and dashed what was missed."""
    told, hit = verdicts(found, truth)
    colours = {RIGHT: theme.KEPT, WRONG: theme.REMOVED, MISSED: WHITE}
    side = max(picture.shape[:2])
    marks = []
    if truth is not None:
        lost = [i for i, there in enumerate(hit) if not there]
        marks += [_box(truth.boxes[i], colours[MISSED], f"missed: {truth.name(int(truth.classes[i]))}", side, dashed=True) for i in lost]
    sure = found.scores < 1
    for i in reversed(range(len(found.boxes))):  # the surest on top
        name = found.name(int(found.classes[i])) + (f" {percent(float(found.scores[i]), 0)}" if sure[i] else "")
        marks.append(_box(found.boxes[i], colours[told[i]], name, side))
    return _svg(picture, "".join(marks))


def boxes_caption(found: Boxes, truth: Boxes | None) -> str:
    """Say what was found, and of a known truth how much of it is right and what was missed."""
    told, hit = verdicts(found, truth)
    if truth is None:
        return found.said
    wrong, missed = told.count(WRONG), hit.count(False)
    rest = [f"{n} {word}" for n, word in ((wrong, "wrong"), (missed, "missed")) if n]
    return (f"{sum(hit)} of {len(hit)} found" if hit else "no object to find") + (f", {', '.join(rest)}" if rest else "")


def classes_over(picture: Picture, answer: ClassMap, *, opacity: float = 0.65) -> str:
    """Return a picture with the class of each pixel as colours over its grey, as SVG; pixels of no class stay grey.

    ``picture`` [H, W, C].
    """
    height, width = picture.shape[:2]
    grey = np.broadcast_to(picture.astype(np.float64).mean(axis=2, keepdims=True), (height, width, 3))
    rows = np.arange(height) * answer.classes.shape[0] // height
    classes = answer.classes[rows][:, np.arange(width) * answer.classes.shape[1] // width]
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in CLASSES])
    plain = [k for k in answer.shares if answer.name(k) == BACKGROUND]  # what is no object stays as it is
    coloured = (classes >= 0) & ~np.isin(classes, plain)
    mixed = np.where(coloured[:, :, None], opacity * palette[classes % len(CLASSES)] + (1 - opacity) * grey, grey)
    return _svg(mixed.round().astype(np.uint8), "")


def legend(answers: list[ClassMap]) -> list[tuple[str, str]]:
    """Return name and colour of the classes that any answer holds, of many the largest."""
    order = dict.fromkeys(k for each in answers for k in each.shares)
    return [(answers[0].name(k), class_colour(k)) for k in sorted(list(order)[:LEGEND]) if answers[0].name(k) != BACKGROUND]


def class_map_caption(answer: ClassMap, truth: ClassMap | None) -> str:
    """Say what share of the pixels is right, and which class is hit least; without a truth which classes are largest."""
    if truth is None or truth.classes.shape != answer.classes.shape:
        return answer.said
    known = truth.classes >= 0
    if not known.any():
        return "none of its pixels counts"
    right = (answer.classes == truth.classes) & known
    found = {}
    for k in truth.shares:
        either = known & ((answer.classes == k) | (truth.classes == k))
        found[k] = float((right & (truth.classes == k)).sum() / max(either.sum(), 1))
    worst = min(found, key=lambda k: found[k], default=None)
    least = "" if worst is None else f"; worst is {truth.name(worst)} (IoU {percent(found[worst], 0)})"
    return f"{percent(float(right.sum() / known.sum()), 0)} of the pixels are right{least}"


def _box(box: NDArray[np.float64], colour: str, name: str, side: int, *, dashed: bool = False) -> str:
    """Return a box with its name above it, or inside where there is no room."""
    left, top, right, bottom = (float(each) for each in box)
    line, letter = max(LINE * side, 0.5), LETTER * side
    text, wide = escape(short(name, 24)), 0.56 * letter * min(len(name), 24) + letter * 0.4
    dash = f' stroke-dasharray="{3 * line:.2f} {2 * line:.2f}"' if dashed else ""
    frame = (
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{max(right - left, 0):.2f}" height="{max(bottom - top, 0):.2f}" fill="none" '
        f'stroke="{colour}" stroke-width="{line:.2f}"{dash}><title>{text}</title></rect>'
    )
    if dashed:
        return frame
    y = top - 1.25 * letter if top >= 1.25 * letter else top
    x = max(0.0, min(left, side - wide))
    return (
        f'{frame}<rect x="{x:.2f}" y="{y:.2f}" width="{wide:.2f}" height="{1.25 * letter:.2f}" fill="{colour}"/>'
        f'<text x="{x + 0.2 * letter:.2f}" y="{y + letter:.2f}" font-size="{letter:.2f}" font-family="sans-serif" fill="{WHITE}">'
        f"{text}</text>"
    )


def _svg(picture: Picture, marks: str) -> str:
    """Return a picture and marks over it, in the picture's own pixels."""
    height, width = picture.shape[:2]
    file = BytesIO()
    Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0]).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    sharp = ' style="image-rendering:pixelated"' if max(height, width) < SMALL else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{4 * width}" height="{4 * height}">'
        f'<image href="data:image/png;base64,{data}" width="{width}" height="{height}"{sharp}/>{marks}</svg>'
    )
