"""Small networks drawn by hypothesis: weights with many ties, and weights of which some are zero already."""

from itertools import pairwise, zip_longest

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from prunekit.models.layers import prunable_layers, weight_of

fractions = st.floats(0, 0.999)


def fill(net, seed, levels, *zeros):
    """Give a net whole-number weights of up to ``levels`` either way, none of them zero but a share for each layer."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, zero in zip_longest(prunable_layers(net), zeros, fillvalue=0.0):
            weight = net.get_submodule(name).weight
            size = torch.randint(1, levels + 1, weight.shape, generator=noise).float()
            sign = torch.randint(0, 2, weight.shape, generator=noise) * 2 - 1
            weight.copy_(size * sign).masked_fill_(torch.rand(weight.shape, generator=noise) < zero, 0)
    return net


@st.composite
def mlps(draw):
    """Linear nets."""
    widths = draw(st.lists(st.integers(1, 12), min_size=3, max_size=5))
    net = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
    return fill(net, draw(st.integers(0, 2**31)), draw(st.sampled_from([1, 2, 5, 1000])))


@st.composite
def layers(draw, zeros=False):
    """A pile of layers of any kind and shape; they need not fit together to be pruned."""
    pile = []
    for _ in range(draw(st.integers(1, 4))):
        a, b, kernel, groups = (draw(st.integers(1, top)) for top in (13, 6, 3, 3))
        linear = draw(st.booleans())
        pile.append(nn.Linear(a, b) if linear else nn.Conv2d(a * groups, b * groups, (kernel, draw(st.integers(1, 3))), groups=groups))
    shares = [draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])) for _ in pile] if zeros else []
    return fill(nn.Sequential(*pile), draw(st.integers(0, 2**31)), draw(st.sampled_from([1, 3, 1000])), *shares)


def gone(masks):
    """How many weights go from each layer."""
    return {name: int((~mask).sum()) for name, mask in masks.items()}


def sizes_of(net):
    return {name: weight_of(net, name).numel() for name in prunable_layers(net)}


def zeros_of(net):
    return {name: int((weight_of(net, name) == 0).sum()) for name in prunable_layers(net)}


def slowest_cut(scores, total, most):
    """The global cut, one weight at a time: the lowest first, ties by layer and index, none from a layer that has given its most."""
    queue = sorted((float(s), i, j) for i, layer in enumerate(scores) for j, s in enumerate(layer))
    keep, given = [np.ones(len(layer), bool) for layer in scores], [0] * len(scores)
    for _, i, j in queue:
        if sum(given) < total and given[i] < most[i]:
            keep[i][j], given[i] = False, given[i] + 1
    return keep
