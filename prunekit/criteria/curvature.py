"""How the loss curves along single weights: the diagonal of its Hessian, estimated by Hutchinson's method."""

from __future__ import annotations

import torch

from prunekit.criteria.gradients import finite, losses
from prunekit.criteria.scoring_task import Scores, Task
from prunekit.errors import ModelError


def hessian_diagonal(task: Task) -> Scores:
    """Return the diagonal of the Hessian of the mean loss by the weight of every layer, in float32 on the CPU.

    Hutchinson 1990, as in Yao et al. 2021, AdaHessian; arXiv:2006.00719. For each mini-batch a vector ``z`` of signs is drawn by the seed,
    and ``z * (H @ z)`` is its estimate: without bias, and exact where the Hessian is diagonal. Their mean is returned; it may be negative.
    """
    source = torch.Generator().manual_seed(task.seed)
    total: Scores = {}
    count = 0
    for loss, weights in losses(task):
        with torch.enable_grad():
            try:
                first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
                signs = [(2 * torch.randint(2, w.shape, generator=source) - 1).to(w) for w in weights]
                along = torch.stack([(g * z).sum() for g, z in zip(first, signs, strict=True)]).sum()
                linear = not along.requires_grad  # a loss that curves nowhere
                second = (
                    [torch.zeros_like(w) for w in weights]
                    if linear
                    else torch.autograd.grad(along, weights, allow_unused=True, materialize_grads=True)
                )
            except RuntimeError as error:
                raise ModelError(
                    f"the model has no second derivative ({' '.join(str(error).split())[:120]}): choose criterion fisher or taylor"
                ) from None
        count += 1
        for name, z, product in zip(task.layers, signs, second, strict=True):
            found = finite(name, task.outputs_first(name, (z * product).detach()).float().cpu())
            total[name] = total[name] + found if name in total else found
    return {name: found / count for name, found in total.items()}
