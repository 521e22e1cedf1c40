"""SparseGPT: a weight's effect on its layer's output where the other weights make up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch

HELD = 1 << 26
"""How many numbers of products are held at once."""


def sparsegpt(task: ScoringTask) -> Scores:
    """Return how much the squared error of a layer's output grows without a weight, when all its others make up for it.

    Frantar and Alistarh 2023, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot; arXiv:2301.00774.
    ``score[i, j] = W[i, j] ** 2 / inv(X'X)[j, j]``, on the dense model. Pruning by this criterion decides on the weights as they are by
    then, column by column; these scores say how much each layer gives where the scope compares layers.
    """
    import math

    import torch
    from torch.overrides import BaseTorchFunctionMode

    from prunekit.criteria.layer_inputs import InputProducts
    from prunekit.criteria.samples import headless_copy, run_in_parts
    from prunekit.models.layers import inputs_first, owner_of_layer, weight_name
    from prunekit.models.running import task_of

    assert task.samples is not None
    model, judge, found = headless_copy(task.model, task.layers), task_of(task.model, task.samples), {}
    weights = {name: model.get_parameter(weight_name(model, name)) for name in task.layers}
    for names in _parts({name: math.prod(weight.shape[1:]) ** 2 for name, weight in weights.items()}):
        seen = InputProducts({name: weights[name] for name in names})

        def run(batch: Batch, seen: InputProducts = seen) -> Any:
            with torch.no_grad(), BaseTorchFunctionMode(), seen:
                return judge.forward(model, batch)

        run_in_parts(task.samples, run)
        for name in names:
            weight = weights[name].detach().float()
            turned = inputs_first(owner_of_layer(model, name))
            matrix = weight.t() if turned else weight.movedim(1, -1)
            score = matrix.square().reshape(len(matrix), -1) * _strength(seen.of(name))
            back = score.view(matrix.shape)
            found[name] = (back.t() if turned else back.movedim(-1, 1)).contiguous().cpu()
    return {name: found[name] for name in task.layers}


def _parts(sizes: dict[str, int]) -> list[list[str]]:
    """Return layers in groups whose products can be held."""
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        if groups[-1] and held + size > HELD:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups


def _strength(product: Tensor) -> Tensor:
    """Return the reciprocal of the diagonal of the inverse of X'X, 0 for inputs that are never there; [rows, 1] of what has one input."""
    import torch

    if product.dim() == 1:
        return product[:, None]
    damped = product.double()
    there = damped.diagonal() > 0
    damped.diagonal().add_(0.01 * damped.diagonal().mean() + ~there)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return (there / inverse.diagonal()).float()


SPARSEGPT = Criterion(
    name="sparsegpt",
    title="SparseGPT",
    formula="w² / diagonal of the inverse of X'X, X the inputs; what stays of a layer is updated to make up for what goes",
    source="Frantar and Alistarh 2023, arXiv:2301.00774",
    advice="For large layers and no retraining: it changes what is kept, and takes longer than Wanda.",
    weight=sparsegpt,
    needs_data=True,
    updates=True,
    only="SparseGPT weighs single weights, and lets the others of their layer make up for them",
    order=75,
)
