"""Scores from the weights alone.

Each function takes a layer's weight, the layer's name and a seed, and returns scores: of the weight's shape for single weights,
``[out]`` for channels. The lowest scores are removed first.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``|w|`` (Han et al. 2015, Learning both Weights and Connections; arXiv:1506.02626)."""
    return weight.abs()


def l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``w ** 2``: the same order as ``|w|`` for single weights, on the scale of energy."""
    return weight.square()


def random(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1): the baseline that every criterion has to beat."""
    return torch.from_numpy(_uniform(weight.shape, name, seed))


def channel_l1(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L1 norm of each filter (Li et al. 2017, Pruning Filters for Efficient ConvNets; arXiv:1608.08710)."""
    return weight.abs().flatten(1).sum(1)


def channel_l2(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the L2 norm of each filter (He et al. 2018, Soft Filter Pruning; arXiv:1808.06866)."""
    return weight.square().flatten(1).sum(1).sqrt()


def channel_random(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1) for each filter."""
    return torch.from_numpy(_uniform(weight.shape[:1], name, seed))


def _uniform(shape: tuple[int, ...], name: str, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return noise that depends on the seed and the layer's name only, so that choosing other layers does not change it."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32)).random(shape, dtype=np.float32)
