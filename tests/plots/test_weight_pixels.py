"""Pictures of weights against the weights: every cell is found again by what hovering says of it."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageColor

from prunekit import plots
from prunekit.plots import theme
from prunekit.plots.filter_tiles import Grid, colour_tiles, filter_tiles, kernel_tiles
from prunekit.plots.weight_pixels import MOST, blocks, parts, planes, share_map, weight_pixels

SHAPES = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)),
)
WHERE = re.compile(r"(output|input) (\d+)|kernel row (\d+)|column (\d+)")


@st.composite
def layers(draw, shapes=SHAPES):
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.normal(size=shape).astype(np.float32), draw(hnp.arrays(bool, shape))


def place(down, across):
    """Read output, input, kernel row and kernel column from the labels of a cell."""
    found = {"output": None, "input": None, "row": 0, "column": 0}
    for channel, number, row, column in WHERE.findall(f"{down}; {across}"):
        found[channel or ("row" if row else "column")] = int(number or row or column)
    return found["output"], found["input"], found["row"], found["column"]


def trace(fig, name):
    return next(t for t in fig.data if t.name == name and t.type == "heatmap")


def drawn(fig):
    """Return place -> (value, stays) of all cells; each is either kept or removed."""
    kept, removed = trace(fig, "kept"), trace(fig, "removed")
    assert np.array_equal(np.isnan(kept.z), ~np.isnan(removed.z))
    z = np.where(np.isnan(kept.z), removed.z, kept.z)
    return {place(y, x): (z[i, j], not np.isnan(kept.z[i, j])) for i, y in enumerate(kept.y) for j, x in enumerate(kept.x)}


@given(layers(), st.data(), st.booleans(), st.booleans())
def test_every_cell_is_the_weight_that_hovering_names(layer, data, comb, values):
    weight, kept = layer
    out, ins = (sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))) for n in weight.shape[:2])
    outputs, inputs = range(out[0], out[1] + 1), range(ins[0], ins[1] + 1)
    cells = drawn(weight_pixels(weight, kept, outputs=outputs, inputs=inputs, block=4 if comb else 0, values=values))
    w, k = planes(weight), planes(kept)
    expected = {
        (o, i, r, c): (w[o, i, r, c], bool(k[o, i, r, c]))
        for o in outputs
        for i in inputs
        for r in range(w.shape[2])
        for c in range(w.shape[3])
    }
    assert cells == expected


@given(layers())
def test_a_mask_shows_as_many_removed_cells_as_it_has_zeros(layer):
    weight, kept = layer
    fig = weight_pixels(weight, kept, values=False)
    assert np.count_nonzero(~np.isnan(trace(fig, "removed").z)) == kept.size - kept.sum()
    assert not trace(fig, "kept").showscale, "a mask has no values"


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=2), st.lists(st.integers(1, 11), max_size=3), st.booleans())
@example([1, 37], [11, 11, 11], True)  # one kernel is longer than a part
@example([1, 300], [1, 40, 11], False)
def test_parts_cover_every_channel_once_and_none_is_too_big_for_a_browser(channels, kernel, comb):
    shape = (*channels, *kernel)
    sides = parts(shape, comb=comb)
    for side, count in zip(sides, channels, strict=True):
        assert [c for part in side for c in part] == list(range(count))
        assert len({len(part) for part in side[:-1]}) <= 1, "all but the last are alike"
    cells = len(sides[0][0]) * len(sides[1][0]) * int(np.prod(kernel))
    assert cells <= MOST or len(sides[0][0]) == len(sides[1][0]) == 1


@pytest.mark.parametrize("shape", [(200, 64), (64, 64, 3, 3), (10, 100), (32, 16, 5, 5), (16, 16, 3, 3)])
def test_common_layers_are_shown_whole(shape):
    assert parts(shape) == ((range(shape[0]),), (range(shape[1]),))


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 9))
def test_lines_part_the_blocks_of_a_pattern_wherever_a_part_begins(first, count, m):
    weight = np.ones((2, first + count))
    fig = weight_pixels(weight, weight > 0, inputs=range(first, first + count), block=m)
    lines = {float(x) for shape in fig.layout.shapes for x in re.findall(r"M([\d.]+),-0.5V", shape.path)}
    assert lines == {c - first - 0.5 for c in range(first + 1, first + count) if c % m == 0}


@given(layers(), st.integers(1, 9))
def test_the_shares_of_blocks_are_those_of_the_mask(layer, most):
    kept = layer[1]
    found = blocks(kept, most)
    assert max(found.removed.shape) <= most
    for row in range(found.removed.shape[0]):
        for column in range(found.removed.shape[1]):
            part = kept[row * found.outputs : (row + 1) * found.outputs, column * found.inputs : (column + 1) * found.inputs]
            assert found.removed[row, column] == pytest.approx(1 - part.mean())


def test_a_share_map_names_the_channels_of_each_cell():
    kept = np.zeros((300, 5), dtype=bool)
    fig = share_map(blocks(kept))
    assert fig.data[0].y[-1] == "outputs 296–299"
    assert list(fig.data[0].x) == [f"input {i}" for i in range(5)]
    assert (np.asarray(fig.data[0].z) == 1).all()


@given(layers(st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))), st.integers(0, 9))
def test_every_pixel_of_a_gallery_stands_once_where_hovering_says(layer, first):
    weight, kept = layer
    fig = kernel_tiles(weight, kept, first=first)
    found = {}
    for name in ("kept", "removed"):
        one = trace(fig, name)
        for at in np.argwhere(~np.isnan(one.z)).tolist():
            o, i, r, c = one.customdata[tuple(at)].tolist()
            assert (o, i, r, c) not in found
            found[o, i, r, c] = (one.z[tuple(at)], name == "kept")
    assert found == {(at[0] + first, *at[1:]): (weight[at], bool(kept[at])) for at in np.ndindex(weight.shape)}


@given(st.integers(1, 200), st.integers(0, 5), st.data())
def test_filters_that_go_are_drawn_apart_and_numbered(count, first, data):
    kept = data.draw(hnp.arrays(bool, count))
    fig = filter_tiles(np.ones((count, 3, 3)), kept, first=first)
    for name, stays in (("kept", True), ("removed", False)):
        one = trace(fig, name)
        assert np.unique(one.customdata[~np.isnan(one.z)][:, 0]).tolist() == (np.flatnonzero(kept == stays) + first).tolist()
    numbers = [t for t in fig.data if t.type == "scatter" and t.mode == "text"]
    for labels in numbers:
        assert list(labels.text) == [str(first + i) for i in range(count)]
        assert [colour == theme.muted(False) for colour in labels.textfont.color] == kept.tolist()
    assert numbers or count > 64, "where there is room, every filter has its index"


@given(st.integers(1, 300), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
def test_tiles_of_a_gallery_do_not_overlap(count, inputs, high, wide):
    grid = Grid.of(count, inputs, high, wide)
    assert (np.diff(grid.edges_across) > 0).all() and (np.diff(grid.edges_down) > 0).all()
    assert len(grid.edges_across) == grid.places.shape[1] + 1 and len(grid.edges_down) == grid.places.shape[0] + 1
    assert grid.columns * grid.rows >= count


@pytest.mark.parametrize("dark", [False, True])
def test_kernels_in_colour_show_zero_as_grey_and_lost_pixels_in_vermilion(dark):
    weight = np.zeros((2, 3, 2, 2), dtype=np.float32)
    weight[0, 0] = 1.0
    weight[0, 1] = -1.0
    kept = np.ones_like(weight, dtype=bool)
    kept[0, 0, 0, 0] = False
    kept[1, :, 1, 1] = False
    fig = colour_tiles(weight, kept, dark=dark)
    picture = fig.layout.images[0]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))))
    grid = Grid.of(2, 1, 2, 2)

    def pixel(tile, row, column):
        x = (grid.edges_across[tile * 3 + column] + 0.5) / picture.sizex
        y = (grid.edges_down[row] + 0.5) / picture.sizey
        return image[int(y * image.shape[0]), int(x * image.shape[1])].tolist()

    assert pixel(0, 0, 1) == [255, 0, 128, 255]
    assert pixel(0, 0, 0) == [128, 0, 128, 255], "what goes counts as zero"
    assert pixel(1, 0, 0) == [128, 128, 128, 255]
    lost = np.array(pixel(1, 1, 1)[:3], dtype=int)
    vermilion = np.mean([ImageColor.getrgb(theme.REMOVED), ImageColor.getrgb(theme.paper(dark))], axis=0)
    assert np.abs(lost - vermilion).sum() < np.abs(lost - 128).sum()
    assert (image[-1, :, 3] == 0).all(), "gaps are clear"


W, K = np.random.default_rng(0).normal(size=(4, 3, 3, 3)), np.arange(108).reshape(4, 3, 3, 3) % 2 == 0
ALL = {
    "weight_pixels": lambda **k: weight_pixels(W, K, **k),
    "share_map": lambda **k: share_map(blocks(K), **k),
    "kernel_tiles": lambda **k: kernel_tiles(W, K, **k),
    "filter_tiles": lambda **k: filter_tiles(np.abs(W[:, 0]), K.all(axis=(1, 2, 3)), **k),
    "colour_tiles": lambda **k: colour_tiles(W, K, **k),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dark", [False, True])
def test_every_picture_is_drawn_in_the_template_and_is_exported(name, dark):
    fig = ALL[name](dark=dark)
    assert fig.layout.template.layout.font.color == theme.ink(dark)
    assert fig.layout.uirevision == "prunekit"
    assert fig.layout.title.text is None, "the section says what it is"
    assert name in plots.__all__


def test_a_colour_bar_says_where_colours_saturate():
    ticks = [weight_pixels(W, K, reach=reach).data[0].colorbar.ticktext for reach in (None, 0.5)]
    assert not any(mark in "".join(ticks[0]) for mark in "≤≥")
    assert list(ticks[1]) == ["≤ \u22120.5", "0", "≥ 0.5"]
