"""Magnitude: the size of each weight, and the norm of each filter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, each_layer, each_weight

if TYPE_CHECKING:
    from torch import Tensor


@each_weight
def l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``|w|`` (Han et al. 2015, Learning both Weights and Connections; arXiv:1506.02626)."""
    return weight.abs()


@each_layer
def channel_l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L1 norm of each filter (Li et al. 2017, Pruning Filters for Efficient ConvNets; arXiv:1608.08710)."""
    return weight.abs().flatten(1).sum(1)


@each_weight
def l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``w ** 2``: the same order as ``|w|`` for single weights, on the scale of energy."""
    return weight.square()


@each_layer
def channel_l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L2 norm of each filter (He et al. 2018, Soft Filter Pruning; arXiv:1808.06866)."""
    return weight.square().flatten(1).sum(1).sqrt()


L1 = Criterion(
    name="l1",
    title="L1 magnitude",
    formula="|w|; channel: sum of |w| over its filter",
    source="Han et al. 2015, arXiv:1506.02626; Li et al. 2017, arXiv:1608.08710",
    advice="Start here: it needs no data, takes no time, and does well on trained networks while not too much is removed.",
    weight=l1,
    channel=channel_l1,
    by_size=True,
    size_at=float,
    block="mean by root",  # a filter's L1 norm grows with its size n at initialisation as the root of n
    order=10,
)
L2 = Criterion(
    name="l2",
    title="L2 magnitude",
    formula="w²; channel: Euclidean norm of its filter",
    source="Han et al. 2015, arXiv:1506.02626; He et al. 2018, arXiv:1808.06866",
    advice="For single weights the same order as L1; for channels it favours filters with a few large weights.",
    weight=l2,
    channel=channel_l2,
    by_size=True,
    size_at=math.sqrt,
    order=20,
)
