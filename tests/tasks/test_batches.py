"""Batches of every kind of source hold the same samples in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from prunekit.data.load import load_data
from prunekit.data.tables import load_diabetes
from prunekit.errors import DataError
from prunekit.tasks.batch import Batch, collate
from prunekit.tasks.batches import batches_of, length_of

N = 11


class Clicks(Dataset[Any]):
    """Two inputs, a float and an integer one, by keyword; or by position."""

    def __init__(self, keyword: bool) -> None:
        self.keyword = keyword

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        x, ids = torch.full((3,), float(i)), i
        return ({"x": x, "ids": ids} if self.keyword else (x, ids)), i / 4


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([Clicks(True)[i] for i in range(N)])


@given(st.integers(1, 13))
def test_every_source_gives_every_sample_once_in_order(size: int) -> None:
    sources = [Clicks(True), Clicks(False), Stream(), DataLoader(Clicks(True), batch_size=size)]
    sources += [[(dict(x=torch.arange(N).float()[:, None].expand(N, 3), ids=torch.arange(N)), torch.arange(N) / 4)]]
    sources += [[collate([Clicks(False)[i] for i in range(N)])]]
    for source in sources:
        batches = list(batches_of(source, size))
        x = torch.cat([batch.kwargs["x"] if batch.kwargs else batch.args[0] for batch in batches])
        ids = torch.cat([batch.kwargs["ids"] if batch.kwargs else batch.args[1] for batch in batches])
        assert x[:, 0].tolist() == ids.tolist() == list(range(N)) and ids.dtype is torch.int64
        assert torch.cat([batch.targets for batch in batches]).tolist() == [i / 4 for i in range(N)]
        assert sum(batch.samples for batch in batches) == N
        if not isinstance(source, list):
            assert all(batch.samples == size for batch in batches[:-1])


def test_splits_of_the_catalog_and_of_tables() -> None:
    for split in (load_data("digits").test, load_diabetes().test):
        batches = list(batches_of(split, 64))
        assert sum(batch.samples for batch in batches) == length_of(split) == len(split)
        assert torch.equal(batches[0].args[0][3], split[3][0])
    assert length_of(Stream()) is None and length_of([]) is None and length_of(Clicks(True)) == N


def test_a_dataset_brings_its_own_collate() -> None:
    class Ragged(Clicks):
        def __getitem__(self, i: int) -> Any:
            return {"text": "a" * i, "label": i}

        def collate(self, samples: list[Any]) -> Any:
            return torch.tensor([[len(each["text"])] for each in samples]), torch.tensor([each["label"] for each in samples])

    batches = list(batches_of(Ragged(True), 4))
    assert torch.cat([batch.args[0][:, 0] for batch in batches]).tolist() == list(range(N))
    own = list(batches_of(Ragged(True), 4, lambda samples: Batch.of(torch.zeros(len(samples)))))
    assert [batch.samples for batch in own] == [4, 4, 3] and own[0].targets is None


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (3, "cannot read samples from int"),
        ([torch.zeros(2)], r"a batch must be \(inputs, target\).*; got a Tensor"),
        (TensorDataset(torch.zeros(2), torch.zeros(2), torch.zeros(2)), r"a sample must be \(inputs, target\).*; got 3 things"),
    ],
)
def test_what_holds_no_samples_is_refused(source: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(batches_of(source, 4))
    with pytest.raises(DataError, match="at least 1"):
        list(batches_of(Clicks(True), 0))
