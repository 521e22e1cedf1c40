"""The break-even of sparse kernels: what the table says between its points, and that it travels unchanged. No test asserts a time."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import LatencyError
from prunekit.latency.diagnosis.breakeven import BreakEven, Cell, break_even, grid_of
from prunekit.latency.interleaved_timing import Ratio
from prunekit.models.info import info
from prunekit.models.load import load_model

DENSITIES = (0.01, 0.03, 0.1, 0.3, 0.5)


def table(crossing, sizes=((64, 64), (1024, 1024)), batches=(1, 16)):
    """A table whose ratio is (density / crossing): 1 exactly there."""
    cells = []
    for outputs, inputs in sizes:
        for batch in batches:
            at = crossing(outputs * inputs, batch)
            for density in DENSITIES:
                value = density / at
                cells.append(Cell(outputs, inputs, batch, density, 1.0, value, Ratio(value, 0.98 * value, 1.02 * value, True)))
    return BreakEven(tuple(cells), 1, "torch, AVX2", 5)


@given(st.floats(0.011, 0.49), st.integers(1, 10**4), st.integers(1, 10**4), st.integers(1, 10**4))
def test_one_break_even_everywhere_is_read_off_everywhere(at, outputs, inputs, batch):
    found = table(lambda *_: at).density_at((outputs, inputs), batch)
    below, above = max(d for d in DENSITIES if d <= at), min(d for d in DENSITIES if d >= at)
    assert below <= found <= above


def test_at_a_measured_density_it_is_exact():
    assert table(lambda *_: 0.1).density_at((64, 64), 1) == pytest.approx(0.1)


@given(st.integers(1, 10**5), st.integers(1, 300))
def test_it_lies_between_the_corners_and_moves_with_the_size(n, batch):
    found = table(lambda weights, batch: 0.03 if weights < 10**5 else 0.3)
    value = found.density_at((n, n), batch)
    assert 0.03 - 1e-9 <= value <= 0.3 + 1e-9
    assert value <= found.density_at((2 * n, n), batch) + 1e-9


def test_between_two_sizes_it_is_the_middle_on_a_logarithmic_scale():
    found = table(lambda weights, batch: 0.03 if weights < 10**5 else 0.3)
    assert found.density_at((256, 256), 4) == pytest.approx((0.03 + 0.3) / 2)


def test_never_faster_is_zero_and_always_faster_is_the_largest_measured():
    assert table(lambda *_: 0.005).density_at((64, 64), 1) == 0
    assert table(lambda *_: 2.0).density_at((64, 64), 1) == DENSITIES[-1]


def test_the_order_of_the_cells_does_not_matter():
    found = table(lambda weights, batch: 0.03 * batch)
    turned = BreakEven(found.cells[::-1], 1, "", 5)
    assert turned.density_at((64, 64), 8) == found.density_at((64, 64), 8)


@given(st.floats(0.001, 3))
def test_it_travels_as_json(at):
    found = table(lambda *_: at)
    assert BreakEven.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99}, {"cells": []}, {"cells": [{}]}, {"cells": None}, {"threads": "many"}, {"cells": [1]},
    ],
)  # fmt: skip
def test_a_foreign_table_is_refused(change):
    with pytest.raises(LatencyError):
        BreakEven.from_dict(table(lambda *_: 0.1).to_dict() | change)
    with pytest.raises(LatencyError):
        BreakEven.from_dict([])


@pytest.mark.parametrize(
    ("key", "value"), [("density", 0), ("density", 1.5), ("dense_ms", math.nan), ("sparse_ms", -1), ("batch", 0), ("ratio", {})]
)
def test_a_cell_that_makes_no_sense_is_refused(key, value):
    plain = table(lambda *_: 0.1).to_dict()
    plain["cells"][3][key] = value
    with pytest.raises(LatencyError, match="measure it again"):
        BreakEven.from_dict(plain)


def test_a_real_table_holds_every_point_and_progress_rises():
    shares = []
    found = break_even(
        1,
        0.4,
        densities=(0.5, 0.1),
        sizes=((16, 8), (32, 32)),
        batches=(1, 2),
        min_rounds=3,
        progress=lambda share, _: shares.append(share),
    )
    frame = found.to_frame()
    assert len(frame) == 8 and set(zip(frame["outputs"], frame["inputs"], strict=True)) == {(16, 8), (32, 32)}
    assert list(frame["density"][:2]) == [0.1, 0.5] and (frame["dense_ms"] > 0).all() and (frame["low"] <= frame["high"]).all()
    assert found.rounds >= 3 and shares == sorted(shares) and "torch" in found.machine
    assert 0 <= found.density_at((32, 32), 1) <= 0.5
    assert np.isfinite(found.crossings()["density"]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"densities": ()}, "densities"),
        ({"densities": (0,)}, "densities"),
        ({"sizes": ((3,),)}, "sizes"),
        ({"batches": (0,)}, "batches"),
        ({"threads": 0}, "threads"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(LatencyError, match=says):
        break_even(**change)


def test_the_layers_of_a_model_are_given_samples_times_tokens():
    gpt = load_model("shakespeare_gpt")
    grid = grid_of(gpt, info(gpt).input_shape, (1, 8), (32, 128), own=128)
    assert grid.sizes == ((128, 512), (512, 128), (128, 128), (65, 128)) and grid.rows == (1, 8, 32, 128, 256, 1024)
    digits = load_model("digits_mlp")
    assert grid_of(digits, (1, 8, 8), (1, 8)).rows == (1, 8)


def test_a_table_says_beside_what_it_was_measured():
    plain = table(lambda *_: 0.1).to_dict()
    assert BreakEven.from_dict(plain).against == "torch" and "against" not in plain
    told = BreakEven.from_dict({**plain, "against": "onnxruntime"})
    assert told.against == "onnxruntime" and BreakEven.from_dict(told.to_dict()) == told
