"""Tables: the diabetes data against scikit-learn's own loader, and splits that keep rows and targets together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes as reference

from prunekit.data.tables import TableSplit, load_diabetes
from prunekit.errors import DataError

DATA = load_diabetes()
SPLITS = (DATA.train, DATA.validation, DATA.test)


def test_the_splits_are_scikit_learns_rows_each_once() -> None:
    raw = reference(scaled=False)
    assert [len(split) for split in SPLITS] == [270, 72, 100] and len(DATA.features) == raw.data.shape[1]
    scale = DATA.target_scale
    rows = torch.cat([split.rows for split in SPLITS]).double().numpy() * DATA.std + DATA.mean
    targets = torch.cat([split.targets for split in SPLITS]).double().numpy() * scale["std"] + scale["mean"]
    found = np.column_stack([rows, targets])
    wanted = np.column_stack([raw.data, raw.target])
    assert np.allclose(found[np.lexsort(found.round(3).T)], wanted[np.lexsort(wanted.round(3).T)], atol=1e-3)


def test_only_training_rows_decide_the_scale() -> None:
    train = torch.column_stack([DATA.train.rows, DATA.train.targets])
    assert torch.allclose(train.mean(0), torch.zeros(11), atol=1e-5)
    assert torch.allclose(train.std(0, correction=0), torch.ones(11), atol=1e-5)
    assert DATA.test.rows.mean(0).abs().max() > 0.01


@given(st.integers(1, 120), st.integers(1, 120))
def test_batches_and_choices_keep_a_row_with_its_target(batch_size: int, n: int) -> None:
    part = DATA.test.subset(n)
    assert len(part) == min(n, 100)
    x, y = (torch.cat(each) for each in zip(*part.batches(batch_size), strict=True))
    assert torch.equal(x, DATA.test.rows[: len(part)]) and torch.equal(y, DATA.test.targets[: len(part)])
    order = np.random.default_rng(n).permutation(len(part))
    taken = part.take(order)
    for i, place in enumerate(order[:5]):
        assert torch.equal(taken[i][0], DATA.test[int(place)][0]) and taken[i][1] == DATA.test[int(place)][1]


def test_a_fingerprint_tells_rows_targets_and_order_apart() -> None:
    def told(rows: torch.Tensor, targets: torch.Tensor) -> str:
        return TableSplit(rows, targets).fingerprint()

    rows, targets = DATA.test.rows, DATA.test.targets
    assert told(rows.clone(), targets.clone()) == DATA.test.fingerprint()
    moved = torch.arange(99, -1, -1)
    others = {told(rows + 1e-3, targets), told(rows, targets + 1e-3), told(rows[moved], targets[moved]), told(rows[:50], targets[:50])}
    assert len(others | {DATA.test.fingerprint()}) == 5


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match=r"a target each; got \[3, 2\] and \[4\]"):
        TableSplit(torch.zeros(3, 2), torch.zeros(4))
    with pytest.raises(DataError, match="at least 1 row"):
        DATA.limited(0)
    with pytest.raises(IndexError):
        DATA.test[100]
    assert DATA.limited(None) is DATA and len(DATA.limited(7).train) == 7
