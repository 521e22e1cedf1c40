"""Scores of channels: filters compared with each other (FPGM), and the scale of the BatchNorm behind them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunekit.criteria.scoring_task import Scores, Task, each_layer
from prunekit.errors import ModelError, PruningError

BLOCK = 2**22  # numbers of float64 in a block: 32 MiB
NEAR = 1e-6  # squared distances below this share of the squared norms have lost too many digits


@each_layer
def fpgm(weight: Tensor, name: str, seed: int) -> Tensor:
    """Return the sum of each filter's Euclidean distances to all filters of its layer.

    He et al. 2019, Filter Pruning via Geometric Median; arXiv:1811.00250. ``score[i] = sum(norm(F[i] - F[j]) for j)``: the filters
    nearest the geometric median of their layer have the smallest sums and go first, as the others can stand in for them.

    Distances come from float64 products of filters, a block of rows at a time; the few that cancel out are computed from differences.
    """
    rows = weight.flatten(1).double()
    rows = rows - rows.mean(0)  # distances are the same, and less cancels out
    norms = rows.square().sum(1)
    step = max(1, BLOCK // len(rows))
    return torch.cat([_distances(rows, norms, start, min(start + step, len(rows))).sum(1) for start in range(0, len(rows), step)])


def _distances(rows: Tensor, norms: Tensor, start: int, stop: int) -> Tensor:
    """Return the distances of rows ``start`` to ``stop`` to all rows, ``[stop - start, n]``."""
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


def bn_scale(task: Task) -> Scores:
    """Return the size of each channel's BatchNorm scale, ``|gamma|``.

    Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming; arXiv:1708.06519. Its layers are the
    BatchNorm modules themselves; one without scales (``affine=False``) scales by 1.
    """
    return {name: _scale(task.model, name) for name in task.layers}


def _scale(model: nn.Module, name: str) -> Tensor:
    """Return ``|gamma|`` of one BatchNorm."""
    module = dict(model.named_modules(remove_duplicate=False)).get(name)
    if not isinstance(module, _BatchNorm):
        known = [other for other, m in model.named_modules() if isinstance(m, _BatchNorm)]
        shown = ", ".join(known[:8]) + (f", ... ({len(known)} in all)" if len(known) > 8 else "")
        raise PruningError(f"criterion 'bn_scale' takes names of BatchNorm modules, and {name!r} is none; there are {shown or 'none'}")
    if module.weight is None:
        return torch.ones(module.num_features)
    if module.weight.is_meta:
        raise ModelError(f"layer {name} has no values (meta device): load the model's weights first")
    gamma = module.weight.detach().double().cpu().abs()
    if not bool(torch.isfinite(gamma).all()):
        raise ModelError(f"layer {name} holds NaN or infinite scales: load a sound checkpoint")
    return gamma
