"""Curves of rows: every table a falling line over its lookups, and the stretches from which most rows go shaded."""

import numpy as np
import pytest

from prunekit.plots.filters import POINTS, row_curves, rows_caption


@pytest.mark.parametrize(("rows", "share"), [(1, 0), (3, 0.4), (150, 0.5), (3000, 0), (3000, 0.8), (3000, 1)])
def test_a_line_falls_from_the_first_row_to_the_last_and_shades_what_goes(rows, share):
    often = np.floor(1000 / (1 + np.random.default_rng(0).permutation(rows)))
    keep = np.ones(rows, dtype=bool)
    keep[np.argsort(often, kind="stable")[: int(share * rows)]] = False
    figure = row_curves({"items": (often, keep)})
    line = next(trace for trace in figure.data if trace.name == "items")
    x, y = np.asarray(line.x), np.asarray(line.y)
    assert x[0] == 1 and x[-1] == rows and len(x) <= POINTS and (np.diff(x) > 0).all() and (np.diff(y) <= 0).all()
    assert y[0] == often.max() and y[-1] == max(often.min(), 0.5)
    shades = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(shades) <= 1, "those looked up least go, in one stretch"
    assert bool(shades) == bool((np.asarray(line.customdata)[:, 1].astype(float) >= 50).any())
    assert f"loses {(~keep).sum():,} of {rows:,} rows" in rows_caption({"items": (often, keep)})


def test_a_row_that_nobody_looks_up_has_a_place_and_several_tables_have_a_legend():
    zeros, keep = np.array([4.0, 0.0]), np.array([True, False])
    figure = row_curves({"a": (zeros, keep), "b": (zeros, np.array([True, True]))})
    lines = {trace.name: list(trace.y) for trace in figure.data if trace.name}
    assert lines == {"a": [4.0, 0.5], "b": [4.0, 0.5]} and figure.layout.showlegend
    assert "had 0" in rows_caption({"a": (zeros, keep)})
