"""LAMP against its definition."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from prunekit.criteria.scoring import weight_scores


def lamp_of(weight, name="lamp"):
    net = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0]))
    net[0].weight.data = torch.from_numpy(weight)
    return weight_scores(net, ["0"], name)["0"].numpy()


def by_definition(weight):
    """Sort by size, equal ones by index; each square over what is left of the sum of squares."""
    square = weight.astype(np.float64).ravel() ** 2
    order = np.argsort(np.abs(weight).ravel(), kind="stable")
    scores = np.zeros(square.size)
    for position, index in enumerate(order):
        rest = square[order[position:]].sum()
        scores[index] = square[index] / rest if rest else 0
    return scores.reshape(weight.shape)


few = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1e-30, -3.0]).map(np.float32)  # ties, zeros of both signs, and squares below float32
any_size = st.floats(-1e4, 1e4, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.one_of(few, any_size)))
def test_lamp_is_its_definition_and_ranks_as_magnitude_does(weight):
    scores = lamp_of(weight)
    np.testing.assert_allclose(scores, by_definition(weight), rtol=1e-6, atol=1e-44)  # the last: what float32 can tell from zero
    ranked = scores.ravel()[np.argsort(np.abs(weight).ravel(), kind="stable")]
    assert (np.diff(ranked) >= 0).all()
    assert scores.max() == (1 if weight.any() else 0)


def test_lamp_counts_in_double_precision():
    weight = np.full((300, 300), 1e-3, np.float32)
    weight[7, 11] = 100
    scores = lamp_of(weight)
    assert scores[7, 11] == 1
    # 1e-6 beside 1e4: in float32 the sum of squares would not grow at all
    np.testing.assert_allclose(scores[0, 0], np.float64(weight[0, 0]) ** 2 / (1e4 + 89_999 * np.float64(weight[0, 0]) ** 2), rtol=1e-7)


def test_lamp_follows_the_index_whatever_the_layout_in_memory():
    net = nn.Sequential(nn.Conv2d(4, 6, 3))
    plain = weight_scores(net, ["0"], "lamp")["0"]
    assert torch.equal(weight_scores(net.to(memory_format=torch.channels_last), ["0"], "lamp")["0"], plain)
