"""FPGM: filters compared with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, each_layer

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2**22  # numbers of float64 in a block: 32 MiB
NEAR = 1e-6  # squared distances below this share of the squared norms have lost too many digits


@each_layer
def fpgm(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the sum of each filter's Euclidean distances to all filters of its layer.

    He et al. 2019, Filter Pruning via Geometric Median; arXiv:1811.00250. ``score[i] = sum(norm(F[i] - F[j]) for j)``: the filters
    nearest the geometric median of their layer have the smallest sums and go first, as the others can stand in for them.

    Distances come from float64 products of filters, a block of rows at a time; the few that cancel out are computed from differences.
    """
    import torch

    rows = weight.flatten(1).double()
    rows = rows - rows.mean(0)  # distances are the same, and less cancels out
    norms = rows.square().sum(1)
    step = max(1, BLOCK // len(rows))
    return torch.cat([_distances(rows, norms, start, min(start + step, len(rows))).sum(1) for start in range(0, len(rows), step)])


def _distances(rows: Tensor, norms: Tensor, start: int, stop: int) -> Tensor:
    """Return the distances of rows ``start`` to ``stop`` to all rows, ``[stop - start, n]``."""
    import torch

    scale = norms[start:stop, None] + norms
    squared = scale - 2 * (rows[start:stop] @ rows.T)
    near = squared <= NEAR * scale
    near[torch.arange(stop - start), torch.arange(start, stop)] = False
    distances = squared.clamp_min(0).sqrt()
    distances.diagonal(start).zero_()
    i, j = near.nonzero(as_tuple=True)
    step = max(1, BLOCK // rows.shape[1])
    for a, b in zip(torch.split(i, step), torch.split(j, step), strict=True):
        distances[a, b] = (rows[start + a] - rows[b]).norm(dim=1)
    return distances


FPGM = Criterion(
    name="fpgm",
    title="FPGM",
    formula="channel: sum of Euclidean distances from its filter to the layer's filters",
    source="He et al. 2019, arXiv:1811.00250",
    advice="Removes filters that others can stand in for, rather than small ones: for layers whose filters are all of similar size.",
    channel=fpgm,
    block="total",
    only="FPGM compares whole filters with each other",
    order=90,
)
