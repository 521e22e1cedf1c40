"""FPGM against a double loop."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunekit.criteria.methods import fpgm
from prunekit.criteria.scoring import channel_scores


def fpgm_of(weight):
    net = nn.Sequential(nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:]))
    net[0].weight.data = torch.as_tensor(weight)
    return channel_scores(net, ["0"], "fpgm")["0"]


def by_definition(weight):
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    return np.array([sum(np.sqrt(((a - b) ** 2).sum()) for b in rows) for a in rows])


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 3), st.sampled_from([0.0, 1.0, 1e4]), st.integers(1, 12))
def test_fpgm_is_the_sum_of_distances_in_blocks_of_any_size(seed, out, inputs, offset, block):
    g = np.random.default_rng(seed)
    weight = (g.normal(size=(out, inputs, 2, 2)) + offset).astype(np.float32)
    copies = g.integers(0, out, 3)
    weight = np.concatenate([weight, weight[copies], weight[copies[:1]] * np.float32(1 + 1e-6)])  # the same again, and almost the same
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fpgm, "BLOCK", block)
        scores = fpgm_of(weight)
    np.testing.assert_allclose(scores, by_definition(weight), rtol=1e-8, atol=1e-300)


def test_the_filter_at_the_median_goes_first_however_large_it_is():
    weight = torch.tensor([[5.0, 5.0], [5.0, 6.0], [6.0, 5.0], [4.0, 5.0], [5.0, 4.0], [0.0, 0.1]]).view(6, 2, 1, 1)
    scores = fpgm_of(weight)
    assert scores.argmin() == 0 and scores.argmax() == 5


def test_layers_of_one_filter_or_of_equal_filters_score_zero():
    assert fpgm_of(torch.ones(1, 2, 3, 3)).tolist() == [0]
    assert fpgm_of(torch.ones(4, 2, 3, 3)).tolist() == [0, 0, 0, 0]
