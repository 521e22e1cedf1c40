"""Scores from the weights alone.

Each function takes a layer's weight, the layer's name and a seed, and returns scores: of the weight's shape for single weights,
``[out]`` for channels. The lowest scores are removed first.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from prunekit.criteria.scoring_task import each_layer, each_weight


@each_weight
def l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``|w|`` (Han et al. 2015, Learning both Weights and Connections; arXiv:1506.02626)."""
    return weight.abs()


@each_weight
def l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``w ** 2``: the same order as ``|w|`` for single weights, on the scale of energy."""
    return weight.square()


@each_layer
def random(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1): the baseline that every criterion has to beat."""
    return torch.from_numpy(_uniform(weight.shape, name, seed))


@each_layer
def lamp(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``w ** 2`` over the sum of squares of all weights of the layer that are at least as large.

    Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning; arXiv:2010.07611. With the layer's weights sorted by
    ``|w|`` in ascending order, equal ones by index: ``score[u] = w[u] ** 2 / sum(w[v] ** 2 for v >= u)``. It ranks a layer's weights
    as ``|w|`` does; the largest weight of every layer scores 1, so that ranking all layers together empties none. Zero weights
    score 0.
    """
    size = weight.abs().contiguous().numpy().reshape(-1)
    # the bits of a float that is not negative sort as it does: with the index below them, one sort of integers is stable, and fast
    keys = (size.view(np.uint32).astype(np.uint64) << np.uint64(32)) | np.arange(size.size, dtype=np.uint64)
    keys.sort()
    down = keys[::-1]
    square = np.square((down >> np.uint64(32)).astype(np.uint32).view(np.float32), dtype=np.float64)
    sums = np.cumsum(square)
    sums[sums == 0] = 1  # a layer of zeros
    score = np.empty(size.size, dtype=np.float32)
    score[(down & np.uint64(0xFFFFFFFF)).view(np.int64)] = square / sums
    return torch.from_numpy(score).view(weight.shape)


@each_layer
def channel_l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L1 norm of each filter (Li et al. 2017, Pruning Filters for Efficient ConvNets; arXiv:1608.08710)."""
    return weight.abs().flatten(1).sum(1)


@each_layer
def channel_l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L2 norm of each filter (He et al. 2018, Soft Filter Pruning; arXiv:1808.06866)."""
    return weight.square().flatten(1).sum(1).sqrt()


@each_layer
def channel_random(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1) for each filter."""
    return torch.from_numpy(_uniform(weight.shape[:1], name, seed))


def _uniform(shape: tuple[int, ...], name: str, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return noise that depends on the seed and the layer's name only, so that choosing other layers does not change it."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32)).random(shape, dtype=np.float32)
