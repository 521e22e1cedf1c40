"""LAMP: magnitude that can be compared over layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, each_layer

if TYPE_CHECKING:
    from torch import Tensor


@each_layer
def lamp(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return ``w ** 2`` over the sum of squares of all weights of the layer that are at least as large.

    Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning; arXiv:2010.07611. With the layer's weights sorted by
    ``|w|`` in ascending order, equal ones by index: ``score[u] = w[u] ** 2 / sum(w[v] ** 2 for v >= u)``. It ranks a layer's weights
    as ``|w|`` does; the largest weight of every layer scores 1, so that ranking all layers together empties none. Zero weights
    score 0.
    """
    import numpy as np
    import torch

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
def channel_lamp(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return :func:`lamp` of the L2 norms of the filters: the best of every layer scores 1."""
    return lamp.score(weight.flatten(1).norm(dim=1), name, seed)


LAMP = Criterion(
    name="lamp",
    title="LAMP",
    formula="w² / sum of v² over the weights v of the layer with |v| at least |w|; channel: so of the filters' L2 norms",
    source="Lee et al. 2021, arXiv:2010.07611",
    advice="For high sparsity over all layers together: small layers keep their largest weights; within one layer it ranks as L1 does.",
    weight=lamp,
    channel=channel_lamp,
    comparable=True,
    by_size=True,
    order=40,
)
