"""Colours are written in one module and mean one thing; axes carry their unit once."""

import re
from pathlib import Path

import numpy as np
import pytest

import prunekit
from prunekit import colours
from prunekit.plots import cells, filters, theme
from tests.ui.figures import twice_told

ROOT = Path(prunekit.__file__).parent
COLOUR = re.compile(r"""#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b(?=["' ;])|rgba?\(\s*\d|hsla?\(\s*\d""")


def test_no_other_module_writes_a_colour():
    found = {
        str(path.relative_to(ROOT)): COLOUR.findall(path.read_text(encoding="utf-8"))
        for path in ROOT.rglob("*.py")
        if path.name != "colours.py"
    }
    assert not {name: each for name, each in found.items() if each}


@pytest.mark.parametrize("dark", [False, True])
def test_no_run_has_the_colour_of_what_is_removed_or_kept_or_dense(dark):
    runs = {theme.run_colour(place, dark) for place in range(8)}
    taken = {colours.REMOVED, colours.REMOVED_DARK, colours.KEPT, colours.DENSE, colours.DENSE_DARK}
    assert len(runs) == 8 and not runs & taken


@pytest.mark.parametrize("dark", [False, True])
def test_weights_above_zero_are_teal_and_below_indigo_in_every_picture_of_them(dark):
    scale = [list(stop) for stop in cells.signed(dark)]
    weights = np.array([[0.5, -1.0], [0.0, 2.0]])
    pictures = filters.matrix(weights, weights != 0, dark=dark), filters.kernels(weights[None], [True], dark=dark)
    for fig in pictures:
        assert [list(stop) for stop in fig.data[0].colorscale] == scale


def test_an_axis_that_says_its_unit_twice_is_found_and_others_are_not():
    def axis(**told):
        return {"xaxis": {**told, "title": {"text": told.pop("title")}}}

    twice = [
        {"title": "file (bytes)", "tickformat": "~s"}, {"title": "share, %", "tickformat": ".0%"},
        {"title": "time (ms)", "ticksuffix": "ms"}, {"title": "time (ms)", "ticktext": ["1 ms", "2 ms"]},
    ]  # fmt: skip
    once = [
        {"title": "size of the file", "tickformat": "~s", "ticksuffix": "B"}, {"title": "share removed", "tickformat": ".0%"},
        {"title": "time (ms)", "tickformat": "~g"}, {"title": "bytes"}, {"title": "compression ratio (log scale)", "ticktext": ["1", "2"]},
    ]  # fmt: skip
    assert all(twice_told(axis(**told)) for told in twice)
    assert not any(twice_told(axis(**told)) for told in once)
