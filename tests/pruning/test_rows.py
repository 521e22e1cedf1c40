"""Scope row: every output loses the same number of weights, and Wanda's masks are those of its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.pruning import prune
from prunekit.pruning.unstructured.cut_rules import RowCut


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 3), st.integers(0, 1), st.data())
def test_rows_lose_alike_in_all_so_many_and_their_lowest(out, inputs, kernel, axis, data):
    scores = np.array(data.draw(st.lists(st.integers(0, 3), min_size=out * inputs * kernel, max_size=out * inputs * kernel)), np.float32)
    count = data.draw(st.integers(0, scores.size))
    shape = (out, inputs, kernel) if axis else (inputs, out, kernel)
    kept = RowCut(count, axis).keep([scores], shape).reshape(shape)
    rows, values = (np.moveaxis(each, 1 - axis, 0).reshape(out, -1) for each in (kept, scores.reshape(shape)))
    gone = (~rows).sum(1)
    assert gone.sum() == count and gone.max() - gone.min() <= 1
    for mine, of in zip(rows, values, strict=True):
        assert not (~mine).any() or not mine.any() or of[~mine].max() <= of[mine].min()


@pytest.mark.parametrize("bias", [True, False])
def test_wanda_by_rows_is_the_papers_few_lines(bias):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(12, 8, bias=bias), nn.ReLU(), nn.Linear(8, 6, bias=bias)), torch.randn(40, 12) * torch.rand(12) * 3
    model[0].weight.data[3, :5] = 0
    data, inside = TensorDataset(x, torch.zeros(40, dtype=torch.int64)), model[:2](x).detach()
    found = prune(model, PruneSpec(sparsity=0.5, criterion="wanda", scope="row"), data)
    for name, seen in (("0", x), ("2", inside)):
        weight = model.get_submodule(name).weight.detach()
        score = weight.abs() * seen.norm(dim=0)
        lowest = score.sort(dim=1, stable=True).indices[:, : weight.shape[1] // 2]
        expected = torch.ones_like(weight, dtype=torch.bool).scatter_(1, lowest, False) & (weight != 0)
        assert torch.equal(found.masks[name], expected)
    assert {layer.requested for layer in found.layers} == {0.5}


def test_a_threshold_has_no_rows():
    with pytest.raises(SpecError, match="scope 'row' shares out a sparsity"):
        PruneSpec(scope="row", threshold=0.1)
