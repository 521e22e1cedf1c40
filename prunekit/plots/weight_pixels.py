"""The weights of one layer as a picture: kept ones by their value, removed ones in vermilion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.plots import light_figure, theme
from prunekit.plots.cells import Axis, Bools, Floats, bar, channels, kept_and_removed, picture, spacing

COARSE = 128  # cells along one axis


@dataclass(frozen=True, eq=False)
class Blocks:
    """A mask in coarse cells."""

    removed: NDArray[np.float64]  # [rows, columns]: share of the weights of each cell that goes
    outputs: int  # outputs, inputs: how many outputs and inputs one cell covers; those of the last row and column may cover fewer
    inputs: int
    shape: tuple[int, ...]  # of the weight


def blocks(kept: Bools, most: int = COARSE) -> Blocks:
    """Average a mask over blocks of outputs and inputs.

    Parameters
    ----------
    kept : ndarray of bool, shape [out, in, *kernel]
        True where a weight stays.
    most : int
        Cells along one axis; the sides of a block are powers of two, as small as this allows.
    """
    out, ins = kept.shape[:2]
    high, wide = (2 ** max(0, math.ceil(math.log2(n / most))) for n in (out, ins))
    kernel = math.prod(kept.shape[2:])
    across = np.add.reduceat(kept.reshape(out, ins * kernel), range(0, ins * kernel, wide * kernel), axis=1, dtype=np.int32)
    sums = np.add.reduceat(across, range(0, out, high), axis=0)
    rows, columns = (np.diff([*range(0, n, size), n]) for n, size in ((out, high), (ins, wide)))
    return Blocks(1 - sums / (np.outer(rows, columns) * kernel), high, wide, kept.shape)


def share_map(found: Blocks, *, sides: tuple[str, str] = ("output", "input"), dark: bool = False) -> go.Figure:
    """Draw where a mask removes much and where little.

    Parameters
    ----------
    found : Blocks
        From :func:`blocks`.
    sides : tuple of str
        What lies along the two axes.
    """
    down, across = _axis(sides[0], found.shape[0], found.outputs), _axis(sides[1], found.shape[1], found.inputs)
    trace = light_figure.heatmap(
        z=found.removed.astype(np.float32),
        y=down.labels,
        x=across.labels,
        zmin=0,
        zmax=1,
        colorscale=[[0, theme.grid(dark)], [1, theme.removed(dark, 1)]],
        colorbar=bar("0\u202f%", "50\u202f% removed", "100\u202f%", (0, 1), dark),
        hovertemplate="%{y}<br>%{x}<br><b>%{z:.1%}</b> removed<extra></extra>",
    )
    return picture([trace], down, across, dark=dark)


def _axis(word: str, count: int, size: int) -> Axis:
    """Return an axis whose cells cover several channels each."""
    spans = [(first, min(first + size, count) - 1) for first in range(0, count, size)]
    labels = [f"{word} {a}" if a == b else f"{word}s {a}–{b}" for a, b in spans]
    ticks = [place for place in range(len(spans)) if place % spacing(len(spans)) == 0]
    return Axis(word, labels, {"tickvals": ticks, "ticktext": [str(spans[place][0]) for place in ticks]}, [])


WIDEST = 256  # cells along one axis that an eye still tells apart in two thirds of a page
MOST = 48_000  # cells in one picture: what a browser redraws at every move of a slider
PART = 192  # cells along one axis of a part, so that a part does not exceed MOST
COMB = 96  # cells along one axis where single blocks of an N:M pattern are to be seen


def planes(values: NDArray[Any]) -> NDArray[Any]:
    """Return a weight as outputs, inputs, kernel rows and kernel columns.

    Parameters
    ----------
    values : ndarray, shape [out, in, *kernel]
        Of a linear layer (its kernel is one pixel) or a convolution in one, two or three dimensions (depth and height become rows).

    Returns
    -------
    ndarray, shape [out, in, rows, columns]
        A view where possible.
    """
    kernel = values.shape[2:] or (1,)
    return values.reshape(*values.shape[:2], math.prod(kernel[:-1]), kernel[-1])


def parts(shape: Sequence[int], *, comb: bool = False) -> tuple[tuple[range, ...], tuple[range, ...]]:
    """Return how outputs and inputs are cut into parts that a picture can hold.

    Parameters
    ----------
    shape : sequence of int
        Of the weight.
    comb : bool
        For a picture in which single blocks of an N:M pattern are to be seen: smaller parts, every position of the kernel by itself.

    Returns
    -------
    outputs, inputs : tuple of range
        One range each where the whole weight fits; otherwise ranges of equal length, a power of two, and what is left.
    """
    kernel = tuple(shape[2:]) or (1,)
    down, across = (math.prod(kernel), 1) if comb else (math.prod(kernel[:-1]), kernel[-1])
    cells = (shape[0] * down, shape[1] * across)
    if not comb and max(cells) <= WIDEST and math.prod(cells) <= MOST:
        return (range(shape[0]),), (range(shape[1]),)
    most = COMB if comb else PART
    # one channel of a huge kernel may alone be longer than a part: then the other side gets what is left of a picture
    return _cut(shape[0], down, min(most, MOST // across)), _cut(shape[1], across, min(most, MOST // down))


def _cut(length: int, size: int, most: int) -> tuple[range, ...]:
    """Return ranges of at most ``most`` cells, each channel taking ``size`` of them."""
    if length * size <= most:
        return (range(length),)
    step = 2 ** int(math.log2(max(most // size, 1)))
    return tuple(range(first, min(first + step, length)) for first in range(0, length, step))


def weight_pixels(
    weight: Floats,
    kept: Bools,
    *,
    outputs: range | None = None,
    inputs: range | None = None,
    block: int = 0,
    values: bool = True,
    reach: float | None = None,
    sides: tuple[str, str] = ("output", "input"),
    dark: bool = False,
) -> go.Figure:
    """Draw the weights of a layer, one cell each; the kernels of a convolution as tiles.

    Parameters
    ----------
    weight, kept : ndarray, shape [out, in, *kernel]
        The values, and True where a weight stays.
    outputs, inputs : range, optional
        The part to show, as :func:`parts` offers it; all by default.
    block : int
        M of an N:M pattern: inputs lie side by side, and lines mark the blocks; 0 for kernels as tiles.
    values : bool
        Colour kept weights by their value; otherwise all in one teal.
    reach : float, optional
        The magnitude at which colours saturate; the largest one in view by default.
    sides : tuple of str
        What lies along the two axes of the weight.

    Returns
    -------
    plotly.graph_objects.Figure
        Trace ``kept`` holds the values that stay, trace ``removed`` those that go, each NaN elsewhere. The longer side lies across:
        the axes say which is which.
    """
    outputs, inputs = outputs or range(weight.shape[0]), inputs or range(weight.shape[1])
    part = (slice(outputs.start, outputs.stop), slice(inputs.start, inputs.stop))
    shown, stays = planes(weight[part]), planes(kept[part])
    down, across, order = _lay_out(shown.shape, (outputs, inputs), block, sides)
    size = (len(down.labels), len(across.labels))
    z, mask = shown.transpose(order).reshape(size), stays.transpose(order).reshape(size)
    most = float(np.abs(z).max(initial=0)) or 1.0
    look = {
        "y": down.labels,
        "x": across.labels,
        "hovertemplate": "%{y}<br>%{x}<br><b>%{z:.3g}</b>",
        **({"xgap": 1, "ygap": 1} if block else {}),
    }
    traces = kept_and_removed(z, mask, values=values, reach=reach or most, most=most, dark=dark, **look)
    square = shown.shape[2] * shown.shape[3] > 1 and not block
    return picture(traces, down, across, dark=dark, square=square, line=4 if block else 0)


def _lay_out(shape: tuple[int, ...], which: tuple[range, range], block: int, sides: tuple[str, str]) -> tuple[Axis, Axis, tuple[int, ...]]:
    """Return the axis down, the axis across, and the order in which the four axes of the weight lie on them."""
    (rows, columns), (outputs, inputs), (out, into) = shape[2:], which, sides
    if block:
        return channels(out, outputs, positions(rows, columns)), channels(into, inputs, every=block), (0, 2, 3, 1)
    down, across = positions(rows, 1), positions(1, columns)
    if len(outputs) * rows > 1.3 * len(inputs) * columns:  # lying down it fills the width of a page
        return channels(into, inputs, down), channels(out, outputs, across), (1, 2, 0, 3)
    return channels(out, outputs, down), channels(into, inputs, across), (0, 2, 1, 3)


def positions(rows: int, columns: int) -> list[str]:
    """Return what tells the pixels of one kernel apart in a label."""
    if rows == 1:
        return [f", kernel column {c}" for c in range(columns)] if columns > 1 else [""]
    if columns == 1:
        return [f", kernel row {r}" for r in range(rows)]
    return [f", kernel row {r}, column {c}" for r in range(rows) for c in range(columns)]
