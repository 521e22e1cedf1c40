"""Pictures of causes: time beside MACs on the same rows, and where sparse layers pay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.plots import theme
from prunekit.plots.breakeven import break_even_caption, break_even_lines, break_even_map
from prunekit.plots.latency import MOST_ROWS, OTHERS, gathered, time_by_layer, time_caption
from tests.latency.diagnosis import drawn
from tests.latency.diagnosis.test_breakeven import DENSITIES, table


@given(st.integers(2, 35))
def test_time_and_macs_stand_on_the_same_rows_in_the_order_of_the_pass(n):
    frame = drawn.between(n).to_frame()
    fig = time_by_layer(frame)
    assert len(fig.data) == 4 and all(list(bar.y) == list(frame["layer"]) for bar in fig.data)
    for bar, column in zip(fig.data, ("ms_before", "macs_before", "ms_after", "macs_after"), strict=True):
        assert np.allclose(bar.x, frame[column])
    assert {axis.rangemode for axis in fig.select_xaxes()} == {"tozero"}


def test_whiskers_are_the_quartiles_and_missing_where_there_are_none():
    frame = drawn.between(2).to_frame()
    bar = time_by_layer(frame).data[0]
    assert np.allclose(np.asarray(bar.x)[:2] + np.asarray(bar.error_x.array)[:2], frame["q3_before"][:2])
    assert np.allclose(np.asarray(bar.x)[:2] - np.asarray(bar.error_x.arrayminus)[:2], frame["q1_before"][:2])
    assert bar.error_x.array[2] == bar.error_x.arrayminus[2] == 0


@given(st.integers(1, 120))
def test_many_layers_lose_no_time_and_no_macs(n):
    frame = drawn.between(n).to_frame()
    rows = gathered(frame)
    assert len(rows) <= MOST_ROWS and (OTHERS in set(rows["layer"])) == (len(frame) > MOST_ROWS)
    for column in ("ms_before", "ms_after", "macs_before", "macs_after"):
        assert rows[column].sum() == pytest.approx(frame[column].sum())
    kept = [name for name in rows["layer"] if name != OTHERS]
    assert kept == [name for name in frame["layer"] if name in set(kept)]


def test_a_layer_that_is_named_says_its_cause():
    fig = time_by_layer(drawn.memory(2).to_frame(), marked={"block1.conv": "Bound by memory"})
    assert fig.data[0].customdata[1].endswith("Bound by memory") and not fig.data[0].customdata[0]
    assert "<b>block1.conv</b>" in fig.layout.yaxis.ticktext and "block0.conv" in fig.layout.yaxis.ticktext


@pytest.mark.parametrize("dark", [False, True])
def test_before_has_the_colour_of_dense_on_light_and_dark(dark):
    fig = time_by_layer(drawn.memory(2).to_frame(), dark=dark)
    assert fig.data[0].marker.color == theme.dense(dark) and fig.data[2].marker.color == theme.KEPT
    assert fig.layout.template == theme.TEMPLATES[dark]


def test_the_caption_of_times_is_computed():
    assert time_caption(drawn.memory(3).to_frame()).startswith("4.00× fewer MACs, 2.00× less time (5.45 ms before, 2.73 ms after")
    assert time_caption(drawn.masked(3).to_frame()).startswith("The MACs by shape are the same, zeros included, the time is the same")
    assert "**between the layers** takes most" in time_caption(drawn.between(5).to_frame())
    assert time_caption(drawn.memory(2).to_frame()[:0]) == "Times by layer follow."


@pytest.mark.parametrize("dark", [False, True])
def test_the_map_is_how_many_times_faster_sparse_is(dark):
    found = table(lambda weights, batch: 0.03 * batch)
    fig = break_even_map(found.to_frame(), dark=dark)
    assert len(fig.data) == 2 and [note.text for note in fig.layout.annotations] == ["batch 1", "batch 16"]
    for panel, batch in zip(fig.data, (1, 16), strict=True):
        assert list(panel.y) == ["64 × 64", "1024 × 1024"]
        assert np.allclose(np.exp(panel.z[0]), 0.03 * batch / np.array(DENSITIES))
        assert panel.zmin == -panel.zmax


def test_what_is_no_certain_difference_stands_in_brackets_and_what_is_not_measured_is_empty():
    frame = table(lambda *_: 0.1).to_frame()
    frame.loc[0, "different"] = False
    cells = break_even_map(frame.drop(index=1)).data[0]
    assert cells.text[0][0] == "(10.0×)" and cells.text[0][1] == "" and cells.text[1][0] == "10.0×"


def test_lines_hold_every_break_even_in_the_order_of_size():
    crossings = table(lambda weights, batch: 0.03 if weights < 10**5 else 0.3).crossings()
    fig = break_even_lines(crossings)
    assert [line.name for line in fig.data] == ["64 × 64", "1024 × 1024"]
    assert np.allclose(fig.data[0].y, 0.97) and np.allclose(fig.data[1].y, 0.7) and list(fig.data[0].x) == [1, 16]


def test_the_caption_of_break_even_says_where_it_pays_and_where_never():
    mixed = table(lambda weights, batch: 0.005 if batch == 1 else 0.3)
    text = break_even_caption(mixed.crossings())
    assert "from 70\u202f% zeros on" in text and "batch 1 it never does" in text
    assert "zeros save no time" in break_even_caption(table(lambda *_: 0.005).crossings())
    assert "it takes 97" in break_even_caption(table(lambda weights, batch: 0.03 if batch == 1 else 0.3).crossings())
    assert "At" not in break_even_caption(table(lambda *_: 0.1).crossings())[1:]
    assert break_even_caption(mixed.crossings()[:0]) == "Points follow."
