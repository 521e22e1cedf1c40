"""Filters as a gallery of small pictures, each with its index: kept ones in teal, removed ones in faded vermilion."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image, ImageColor

from prunekit.plots import light_figure, theme
from prunekit.plots.cells import ACROSS, DOWN, TOP, Bools, Floats, bar, faded, kept_and_removed, legend, signed

MOST = 20_000  # pixels of one gallery
WIDE = 68  # screen pixels: the widest tile with its gap
LABEL = 14  # screen pixels below a tile for its index
NARROW = 20  # screen pixels: the narrowest tile that has room for its index


@dataclass(frozen=True)
class Grid:
    """Where the tiles of a gallery lie; lengths in pixels of a tile, ``cell`` is one of them on the screen."""

    count: int
    planes: int  # planes, high, wide: of each tile: planes side by side, rows, columns of one plane
    high: int
    wide: int
    columns: int  # tiles side by side
    cell: float  # screen pixels
    first: int = 0  # index of the first tile

    @classmethod
    def of(cls, count: int, planes: int, high: int, wide: int, *, first: int = 0) -> Grid:
        """Return the fewest tiles side by side, in fours, with which all fit into the height of a picture."""
        few = 8 if planes == 1 else 4
        for columns in (few, *range(8, count + 8, 4)):
            room = 0.88 * min(ACROSS / columns, WIDE * planes)
            found = cls(count, planes, high, wide, min(columns, count), room / (planes * (wide + 0.3)), first)
            if found.tall <= DOWN:
                break
        return found

    @property
    def rows(self) -> int:
        """Tiles one below the other."""
        return -(-self.count // self.columns)

    @property
    def numbered(self) -> bool:
        """Whether there is room for each tile's index."""
        return self.planes * self.wide * self.cell >= NARROW

    @property
    def tall(self) -> float:
        """Height on the screen."""
        return float(self.edges_down[-1]) * self.cell

    @property
    def edges_down(self) -> NDArray[np.float64]:
        """Edges of the cells from top to bottom, a cell for the gap below each tile among them."""
        gap = max(0.1 * self.wide, 2.5 / self.cell) + (LABEL / self.cell if self.numbered else 0)
        return np.append(0, np.cumsum(np.tile([1.0] * self.high + [gap], self.rows)))

    @property
    def edges_across(self) -> NDArray[np.float64]:
        """Edges of the cells from left to right, a cell for the gap after each plane and each tile among them."""
        plane, gap = [1.0] * self.wide, max(0.1 * self.wide * self.planes, 2.5 / self.cell)
        return np.append(0, np.cumsum(np.tile([*([*plane, 0.3] * (self.planes - 1)), *plane, gap], self.columns)))

    def canvas(self, images: Floats) -> NDArray[np.float32]:
        """Return the cells of all tiles as one matrix, NaN in the gaps."""
        cells = np.full((self.rows * self.columns, self.high + 1, self.planes, self.wide + 1), np.nan, dtype=np.float32)
        cells[: self.count, :-1, :, :-1] = images.transpose(0, 2, 1, 3)
        shape = (self.rows, self.columns, self.high + 1, self.planes * (self.wide + 1))
        return cells.reshape(shape).transpose(0, 2, 1, 3).reshape(shape[0] * shape[2], -1)

    @property
    def places(self) -> NDArray[np.uint16]:
        """Output, plane, row and column of every cell of the canvas."""
        y, x = np.ogrid[: self.rows * (self.high + 1), : self.columns * self.planes * (self.wide + 1)]
        tile, inner = np.divmod(x, self.planes * (self.wide + 1))
        plane, column = np.divmod(inner, self.wide + 1)
        line, row = np.divmod(y, self.high + 1)
        return np.stack(np.broadcast_arrays(self.first + line * self.columns + tile, plane, row, column), axis=-1).astype(np.uint16)


def kernel_tiles(
    images: Floats, kept: Bools, *, values: bool = True, reach: float | None = None, first: int = 0, dark: bool = False
) -> go.Figure:
    """Draw the kernels of each output as one small picture, its inputs side by side.

    Parameters
    ----------
    images : ndarray, shape [outputs, inputs, rows, columns]
        The weights.
    kept : ndarray of bool, of the shape of ``images``
        What stays.
    values : bool
        Colour kept weights by their value; otherwise all in one teal.
    reach : float, optional
        The magnitude at which colours saturate; the largest one by default.
    first : int
        Index of the first output.

    Returns
    -------
    plotly.graph_objects.Figure
        Trace ``kept`` holds the pixels that stay, trace ``removed`` those that go, each NaN elsewhere and in the gaps.
    """
    grid = Grid.of(*images.shape, first=first)
    most = float(np.abs(images).max(initial=0)) or 1.0
    stays = grid.canvas(kept.astype(np.float32)) == 1
    traces = kept_and_removed(grid.canvas(images), stays, values=values, reach=reach or most, most=most, dark=dark, **_look(grid))
    return _figure(traces, grid, np.asarray(kept.any(axis=(1, 2, 3))), dark)


def filter_tiles(norms: Floats, kept: Bools, *, first: int = 0, dark: bool = False) -> go.Figure:
    """Draw each filter as one small picture of magnitudes, those that go in faded vermilion.

    Parameters
    ----------
    norms : ndarray, shape [outputs, rows, columns]
        What the pixels of each filter amount to over all inputs.
    kept : ndarray of bool, shape [outputs]
        Which filters stay.
    first : int
        Index of the first output.

    Returns
    -------
    plotly.graph_objects.Figure
        Trace ``kept`` holds the filters that stay, trace ``removed`` those that go, each NaN elsewhere and in the gaps.
    """
    grid = Grid.of(norms.shape[0], 1, *norms.shape[1:], first=first)
    most = float(norms.max(initial=0)) or 1.0
    low, high = (colour for _, colour in signed(dark)[1:])
    weak, strong = (0.3, 0.8) if dark else (0.12, 0.55)
    scales = {"kept": [[0, low], [1, high]], "removed": [[0, theme.removed(dark, weak)], [1, theme.removed(dark, strong)]]}
    traces = [
        light_figure.heatmap(
            name=name,
            z=grid.canvas(np.where((kept == (name == "kept"))[:, None, None], norms, np.nan)[:, None]),
            zmin=0,
            zmax=most,
            colorscale=scale,
            showscale=name == "kept",
            colorbar=bar("0", "norm", f"{most:.2g}", (0, most), dark),
            hoverongaps=False,
            **_look(grid),
        )
        for name, scale in scales.items()
    ]
    return _figure([*traces, *legend({"removed": faded(dark)})], grid, kept, dark)


def _look(grid: Grid) -> dict[str, object]:
    """Return where the cells lie and what hovering says of them."""
    where = f"output %{{customdata[0]}}{_pixel(grid)}"
    return {"x": grid.edges_across, "y": grid.edges_down, "customdata": grid.places, "hovertemplate": f"{where}<br><b>%{{z:.3g}}</b>"}


def _pixel(grid: Grid) -> str:
    """Return what hovering says of the place within a tile."""
    plane = "<br>input %{customdata[1]}" if grid.planes > 1 else ""
    return plane + ("<br>kernel row %{customdata[2]}, column %{customdata[3]}" if grid.high * grid.wide > 1 else "")


def _figure(traces: list[object], grid: Grid, stays: Bools, dark: bool, **layout: object) -> go.Figure:
    """Put a gallery together: square pixels, no axes, the index below each tile."""
    across, down = grid.edges_across[-1], grid.edges_down[-1]
    traces = [*traces, _numbers(grid, stays, dark)] if grid.numbered else traces
    layout |= {
        "xaxis": {"visible": False, "range": [0, across], "constrain": "domain", "constraintoward": "left"},
        "yaxis": {"visible": False, "range": [down, 0], "scaleanchor": "x", "constrain": "domain", "constraintoward": "top"},
    }
    return theme.figure(traces, dark=dark, height=round(grid.tall) + TOP, margin={"t": TOP, "l": 0, "r": 0, "b": 0}, **layout)


def _numbers(grid: Grid, stays: Bools, dark: bool) -> dict[str, Any]:
    """Return the index below each tile, in vermilion where it goes."""
    wide, high = grid.edges_across[-1] / grid.columns, grid.edges_down[-1] / grid.rows
    line, place = np.divmod(np.arange(grid.count), grid.columns)
    return light_figure.scatter(
        x=place * wide + grid.wide * grid.planes / 2,
        y=line * high + grid.high + LABEL / 2 / grid.cell,
        mode="text",
        text=[str(grid.first + i) for i in range(grid.count)],
        textfont={"size": 11, "color": [theme.muted(dark) if stay else theme.removed(dark, 1) for stay in stays]},
        hoverinfo="skip",
        showlegend=False,
    )


def colour_tiles(weight: Floats, kept: Bools, *, first: int = 0, dark: bool = False) -> go.Figure:
    """Draw the kernels of a layer that sees red, green and blue as small pictures in these colours.

    Parameters
    ----------
    weight, kept : ndarray, shape [outputs, 3, rows, columns]
        The values, and True where a weight stays. Grey is zero, and a removed weight counts as zero.
    first : int
        Index of the first output.

    Returns
    -------
    plotly.graph_objects.Figure
        Pixels that lose all three weights are tinted in vermilion.
    """
    grid = Grid.of(weight.shape[0], 1, *weight.shape[2:], first=first)
    alive = kept.any(axis=1, keepdims=True)
    shade = 0.5 + np.where(kept | ~alive, weight, 0) / (2 * (float(np.abs(weight).max(initial=0)) or 1.0))
    tint = np.mean([ImageColor.getrgb(colour) for colour in (theme.REMOVED, theme.paper(dark))], axis=0) / 255
    shade = np.where(alive, shade, 0.3 * shade + 0.7 * tint[:, None, None])
    canvas = np.stack([grid.canvas(plane[:, None]) for plane in np.moveaxis(shade, 1, 0)], axis=-1)
    names = list[object](legend({} if alive.all() else {"removed": theme.fade(theme.REMOVED, 0.5)}))
    box = {"xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": grid.edges_across[-1], "sizey": grid.edges_down[-1], "sizing": "stretch"}
    picture = {"source": _png(canvas, grid), "layer": "below", **box}
    return _figure(names, grid, np.asarray(kept.any(axis=(1, 2, 3))), dark, images=[picture])


def _png(canvas: Floats, grid: Grid) -> str:
    """Return a canvas of colours as a picture in twice the size of the screen, transparent in the gaps."""
    places = []
    for edges in (grid.edges_down, grid.edges_across):
        centres = (np.arange(round(edges[-1] * 2 * grid.cell)) + 0.5) / (2 * grid.cell)
        places.append(np.searchsorted(edges[1:-1], centres, side="right"))
    seen = canvas[np.ix_(*places)]
    rgba = np.concatenate([np.nan_to_num(seen), ~np.isnan(seen[..., :1])], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray((255 * rgba).round().astype(np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
