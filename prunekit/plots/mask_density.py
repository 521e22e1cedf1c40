"""A mask that is too big for one cell a weight: the share removed, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.plots import light_figure, theme
from prunekit.plots.cells import Axis, Bools, bar, picture, spacing

COARSE = 128  # cells along one axis


@dataclass(frozen=True, eq=False)
class Blocks:
    """A mask in coarse cells.

    Attributes
    ----------
    removed : ndarray, shape [rows, columns]
        Share of the weights of each cell that goes.
    outputs, inputs : int
        How many outputs and inputs one cell covers; those of the last row and column may cover fewer.
    shape : tuple of int
        Of the weight.
    """

    removed: NDArray[np.float64]
    outputs: int
    inputs: int
    shape: tuple[int, ...]


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


def share_map(found: Blocks, *, dark: bool = False) -> go.Figure:
    """Draw where a mask removes much and where little.

    Parameters
    ----------
    found : Blocks
        From :func:`blocks`.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    down, across = _axis("output", found.shape[0], found.outputs), _axis("input", found.shape[1], found.inputs)
    trace = light_figure.heatmap(
        z=found.removed.astype(np.float32),
        y=down.labels,
        x=across.labels,
        zmin=0,
        zmax=1,
        colorscale=[[0, theme.grid(dark)], [1, theme.removed(dark, 1)]],
        colorbar=bar("0 %", "50 % removed", "100 %", (0, 1), dark),
        hovertemplate="%{y}<br>%{x}<br><b>%{z:.1%}</b> removed<extra></extra>",
    )
    return picture([trace], down, across, dark=dark)


def _axis(word: str, count: int, size: int) -> Axis:
    """Return an axis whose cells cover several channels each."""
    spans = [(first, min(first + size, count) - 1) for first in range(0, count, size)]
    labels = [f"{word} {a}" if a == b else f"{word}s {a}–{b}" for a, b in spans]
    ticks = [place for place in range(len(spans)) if place % spacing(len(spans)) == 0]
    return Axis(word, labels, {"tickvals": ticks, "ticktext": [str(spans[place][0]) for place in ticks]}, [])
