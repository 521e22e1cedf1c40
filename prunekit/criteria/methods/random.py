"""Random scores: the baseline that every criterion has to beat."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, each_layer

if TYPE_CHECKING:
    from torch import Tensor


@each_layer
def of_weights(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1) for each weight."""
    return _uniform(weight.shape, name, seed)


@each_layer
def of_channels(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return uniform noise in [0, 1) for each filter."""
    return _uniform(weight.shape[:1], name, seed)


def _uniform(shape: tuple[int, ...], name: str, seed: int) -> Tensor:
    """Return noise that depends on the seed and the layer's name only, so that choosing other layers does not change it."""
    import numpy as np
    import torch

    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return torch.from_numpy(np.random.default_rng(np.frombuffer(digest, np.uint32)).random(shape, dtype=np.float32))


RANDOM = Criterion(
    name="random",
    title="Random",
    formula="uniform noise, by seed",
    source="the baseline to beat",
    advice="The yardstick: a criterion that does no better has learnt nothing from the model.",
    weight=of_weights,
    channel=of_channels,
    random=True,
    order=30,
)
