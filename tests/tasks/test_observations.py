"""Observations: put together, cut, and kept to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prunekit.errors import DataError
from prunekit.tasks.observations import Observations

VALUES = (
    st.floats(width=64) | st.integers(-(2**33), 2**33).map(float) | st.sampled_from([0.0, 1.0, -0.0, 255.0, 0.1, float(np.float32(0.1))])
)


@st.composite
def observations(draw: Any) -> Observations:
    n, k = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    values = draw(arrays(np.float64, (n, k), elements=VALUES))
    groups = draw(st.none() | arrays(np.int64, n, elements=st.integers(-3, 3)))
    return Observations(values, tuple(f"c{i}" for i in range(k)), groups)


def same(a: Observations, b: Observations) -> bool:
    """Compare to the last bit, the sign of zero and the kind of NaN included."""
    groups = (a.groups is None) == (b.groups is None) and (a.groups is None or np.array_equal(a.groups, b.groups))
    return a.columns == b.columns and groups and a.values.shape == b.values.shape and a.values.tobytes() == b.values.tobytes()


@given(observations())
def test_bytes_give_back_every_bit(seen: Observations) -> None:
    assert same(Observations.from_bytes(seen.to_bytes()), seen)
    assert seen.to_bytes() == seen.to_bytes()


@given(observations(), st.data())
def test_parts_put_together_are_the_whole(seen: Observations, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, seen.n))
    parts = [seen.take(np.arange(cut)), seen.take(np.arange(cut, seen.n))]
    assert same(Observations.concat(parts), seen)
    assert same(seen.take(cut), parts[0])
    order = np.random.default_rng(0).permutation(seen.n)
    assert same(seen.take(order).take(np.argsort(order)), seen)


@given(observations(), st.data())
def test_repeated_groups_are_groups_of_their_own(seen: Observations, data: st.DataObject) -> None:
    if seen.groups is None or not seen.n:
        return
    names, number = np.unique(seen.groups, return_inverse=True)
    drawn = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names))))
    found = seen.repeat(drawn[number])
    assert found.n == int(drawn[number].sum())
    sizes = sorted(size for size, times in zip(np.bincount(number), drawn, strict=True) for _ in range(times))
    assert sorted(np.unique(found.groups, return_counts=True)[1].tolist()) == sizes


def test_small_numbers_take_little_room() -> None:
    rng = np.random.default_rng(0)
    seen = Observations.of(correct=rng.random(10_000) < 0.9, predicted=rng.integers(0, 10, 10_000))
    assert len(seen.to_bytes()) < 10_000


def test_columns_come_from_arrays_and_tensors() -> None:
    seen = Observations.of(
        right=torch.tensor([True, False]), score=torch.tensor([0.5, 0.25], dtype=torch.bfloat16, requires_grad=True),
        box=torch.arange(4).reshape(2, 2), groups=["7", "9"],
    )  # fmt: skip
    assert seen.columns == ("right", "score", "box.0", "box.1") and seen.groups is not None and seen.groups.tolist() == [7, 9]
    assert seen["score"].tolist() == [0.5, 0.25] and seen["box"].tolist() == [[0, 1], [2, 3]] and seen["box.1"].tolist() == [1, 3]
    assert np.array_equal(np.asarray(seen), seen.values) and (seen.n, len(seen)) == (2, 2)
    with pytest.raises(ValueError, match="read-only"):
        seen.values[0, 0] = 5


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="a 2, b 3"):
        Observations.of(a=[1, 2], b=[1, 2, 3])
    with pytest.raises(DataError, match="'d' was not observed; there are a, b"):
        Observations.of(a=[1], b=[2])["d"]
    with pytest.raises(DataError, match="no samples"):
        Observations.concat([])
    with pytest.raises(DataError, match="different columns"):
        Observations.concat([Observations.of(a=[1]), Observations.of(b=[1])])
    with pytest.raises(DataError, match="as many names"):
        Observations(np.zeros((2, 2)), ("a", "a"))
    with pytest.raises(DataError, match="one group for each of 2"):
        Observations.of(a=[1, 2], groups=[1])


@given(st.binary(max_size=60), st.integers(0, 10**6))
def test_damaged_bytes_are_said_to_be_damaged(junk: bytes, at: int) -> None:
    whole = bytearray(Observations.of(a=np.arange(50), b=np.linspace(0, 1, 50)).to_bytes())
    for payload in (junk, bytes(whole[: at % len(whole)])):
        with pytest.raises(DataError, match="damaged"):
            Observations.from_bytes(payload)


def test_the_same_samples_are_told_by_what_belongs_to_the_data() -> None:
    a = Observations.of(correct=[1, 0, 1], label=[3, 4, 5])
    assert a.same_samples(Observations.of(correct=[0, 0, 0], label=[3, 4, 5]))
    assert not a.same_samples(Observations.of(correct=[1, 0, 1], label=[4, 3, 5]))
    assert not a.same_samples(a.take(2))
    assert not a.same_samples(Observations.of(correct=[1, 0, 1], label=[3, 4, 5], groups=[0, 0, 1]))
    many = Observations.of(prediction=np.zeros((2, 2)), target=[[1, 2], [3, np.nan]])
    assert many.same_samples(Observations.of(prediction=np.ones((2, 2)), target=[[1, 2], [3, np.nan]]))
    assert not many.same_samples(Observations.of(prediction=np.ones((2, 2)), target=[[1, 2], [4, np.nan]]))
