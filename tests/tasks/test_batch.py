"""Batches: any nest of tensors goes in, comes out again, is cast, cut and collated."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError
from prunekit.tasks.batch import Batch, PerSample, collate
from prunekit.tasks.nested import map_tensors, named_tensors

N = 5
Point = namedtuple("Point", ["x", "y"])


@dataclass(frozen=True)
class Held:
    ids: Any
    rest: Any


def tensors() -> st.SearchStrategy[torch.Tensor]:
    kinds = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64])
    return st.builds(lambda kind, width: torch.arange(N * width).reshape(N, width).to(kind), kinds, st.integers(1, 3))


def nests(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves | st.none() | st.just("as it is"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from(["ids", "mask", "past"]), inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2).map(OrderedDict)
            | st.builds(Point, inner, inner)
            | st.builds(Held, inner, inner)
        ),
        max_leaves=6,
    )


def leaves_of(tree: Any) -> list[torch.Tensor]:
    """Collect tensors without the code under test."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, Held):
        tree = [tree.ids, tree.rest]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return [leaf for part in parts for leaf in leaves_of(part)]


def form(tree: Any) -> Any:
    """Describe containers and everything that is no tensor."""
    if isinstance(tree, torch.Tensor):
        return "tensor"
    if isinstance(tree, Held):
        return Held, form(tree.ids), form(tree.rest)
    if isinstance(tree, dict):
        return type(tree), {key: form(part) for key, part in tree.items()}
    return (type(tree), [form(part) for part in tree]) if isinstance(tree, (list, tuple)) else tree


@given(nests(tensors()))
def test_every_tensor_has_a_name_and_a_copy_has_the_same_form(tree: Any) -> None:
    names = [name for name, _ in named_tensors(tree, "alone")]
    assert len(set(names)) == len(names)
    assert [id(tensor) for _, tensor in named_tensors(tree, "alone")] == [id(leaf) for leaf in leaves_of(tree)]
    before = [leaf.clone() for leaf in leaves_of(tree)]
    changed = map_tensors(lambda tensor: tensor.bool(), tree)
    assert form(changed) == form(tree)
    assert all(leaf.dtype is torch.bool for leaf in leaves_of(changed))
    assert all(torch.equal(a, b) for a, b in zip(before, leaves_of(tree), strict=True))


@given(nests(tensors()), tensors(), st.sampled_from([torch.float64, torch.bfloat16, torch.float16]))
def test_a_cast_is_for_floating_inputs_alone(tree: Any, targets: torch.Tensor, dtype: torch.dtype) -> None:
    batch = Batch.of((torch.zeros(N), tree), targets)
    cast = batch.to("cpu", dtype)
    for (name, before), (same, after) in zip(batch.named_tensors(), cast.named_tensors(), strict=True):
        assert name == same
        assert after.dtype is (dtype if before.is_floating_point() else before.dtype)
        assert torch.equal(before.to(after.dtype), after)
    assert cast.targets.dtype is targets.dtype and form(cast.args) == form(batch.args)


@given(nests(tensors()), st.lists(st.integers(0, N - 1), min_size=1, max_size=8))
def test_taking_samples_takes_their_rows_everywhere(tree: Any, indices: list[int]) -> None:
    shared = torch.zeros(N + 1, N + 1)
    batch = Batch.of({"x": torch.arange(N), "tree": tree, "shared": shared}, torch.arange(N) * 10)
    part = batch.take(indices)
    assert part.samples == len(part) == len(indices)
    assert part.kwargs["x"].tolist() == indices and part.targets.tolist() == [10 * i for i in indices]
    assert part.kwargs["shared"] is shared
    for before, after in zip(leaves_of(tree), leaves_of(part.kwargs["tree"]), strict=True):
        assert torch.equal(before[indices], after)
    assert torch.equal(batch.take(2).kwargs["x"], torch.arange(2)) and batch.take(100).samples == N


def test_what_a_batch_is_called_with() -> None:
    x, ids = torch.zeros(3, 2), torch.zeros(3, 4, dtype=torch.int64)
    assert [name for name, _ in Batch.of(x).named_tensors()] == ["input"]
    assert [name for name, _ in Batch.of((x, ids)).named_tensors()] == ["input.0", "input.1"]
    assert [name for name, _ in Batch.of({"ids": ids, "past": (x, {"k": x})}).named_tensors()] == ["ids", "past.0", "past.1.k"]
    assert [name for name, _ in Batch.of([x, x]).named_tensors()] == ["input.0", "input.1"] and len(Batch.of([x, x]).args) == 1
    assert Batch.of(Point(x, ids)).args[0].y is ids
    batch = Batch.of(x, ids)
    assert Batch.of(batch) is batch and Batch.of(batch, x).targets is x and batch.targets is ids
    assert repr(Batch.of({"ids": ids, "none": None}, x)) == "Batch(3 samples: ids [3, 4] int64; targets [3, 2] float32)"
    with pytest.raises(DataError, match="axis of samples"):
        Batch.of({"flag": True})


def test_a_list_with_an_entry_for_each_sample_is_cut_like_rows() -> None:
    images = [torch.zeros(3, 8, 9), torch.zeros(3, 7, 5), torch.zeros(3, 4, 4)]
    boxes = [{"boxes": torch.zeros(k, 4)} for k in (7, 0, 5)]
    part = Batch((PerSample(images),), {}, boxes, 3).take([2, 0])  # three channels of three samples
    assert isinstance(part.args[0], list)
    assert [list(image.shape) for image in part.args[0]] == [[3, 4, 4], [3, 8, 9]]
    assert [len(each["boxes"]) for each in part.targets] == [5, 7]


def test_samples_become_a_batch() -> None:
    def sample(i: int) -> tuple[Any, float]:
        return {"x": torch.full((2,), float(i)), "pair": (np.arange(3) + i, i), "none": None, "name": f"row {i}"}, i / 2

    batch = collate([sample(i) for i in range(4)])
    assert batch.samples == 4 and batch.kwargs["x"].shape == (4, 2)
    assert batch.kwargs["pair"][0].dtype is torch.int64 and batch.kwargs["pair"][1].tolist() == [0, 1, 2, 3]
    assert batch.kwargs["none"] is None and batch.kwargs["name"] == ["row 0", "row 1", "row 2", "row 3"]
    assert batch.targets.tolist() == [0, 0.5, 1, 1.5]
    for i in range(4):
        one = batch.take([i])
        assert torch.equal(one.kwargs["x"][0], sample(i)[0]["x"]) and one.kwargs["name"] == [f"row {i}"]
    two = collate([((torch.zeros(2), torch.ones(3)), 1)] * 3)
    assert [list(each.shape) for each in two.args] == [[3, 2], [3, 3]] and two.targets.dtype is torch.int64
    held = collate([(Held(torch.zeros(2), 3), 0)] * 2)
    assert isinstance(held.args[0], Held) and held.args[0].ids.shape == (2, 2) and held.args[0].rest.tolist() == [3, 3]


def test_targets_that_do_not_stack_stay_a_list() -> None:
    batch = collate([(torch.zeros(1), torch.zeros(k, 4)) for k in (2, 0, 3)])
    assert [len(each) for each in batch.targets] == [2, 0, 3]
    assert collate([(torch.zeros(1), None)] * 2).targets is None


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(torch.zeros(2), 0), (torch.zeros(3), 0)], r"input of sample 1 is \[3\], and of sample 0 \[2\]"),
        ([({"x": torch.zeros(2)}, 0), ({"y": torch.zeros(2)}, 0)], "does not hold the same"),
        ([((torch.zeros(2), None), 0), ((torch.zeros(2), torch.zeros(1)), 0)], "something else"),
        ([], "no samples"),
    ],
)
def test_samples_of_different_forms_are_refused(samples: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        collate(samples)


def test_a_collate_of_ones_own() -> None:
    def padded(samples: list[Any]) -> Any:
        return torch.nn.utils.rnn.pad_sequence([x for x, _ in samples], batch_first=True), torch.tensor([y for _, y in samples])

    samples = [(torch.ones(k), k) for k in (2, 4, 3)]
    batch = collate(samples, padded)
    assert batch.args[0].shape == (3, 4) and batch.targets.tolist() == [2, 4, 3]
    assert collate(samples, lambda each: Batch.of(padded(each)[0])).targets is None
    with pytest.raises(DataError, match=r"\(inputs, targets\) or a Batch; it returned a Tensor"):
        collate(samples, lambda each: padded(each)[0])
