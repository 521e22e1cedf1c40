"""What a criterion is asked to score, and a model to run for its scores beside the shared one."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunekit.criteria.samples import Images
from prunekit.models.layers import weight_of
from prunekit.models.meta_copy import check_plain

Scores = dict[str, Tensor]
OfLayer = Callable[[Tensor, str, int], Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """One question to a criterion.

    Attributes
    ----------
    model : nn.Module
        The dense model; never written to.
    layers : tuple of str
        Modules to score.
    seed : int
        Seed of whatever is random.
    images : Images, optional
        Labelled images, already mixed, for the criteria that look at data.
    """

    model: nn.Module
    layers: tuple[str, ...]
    seed: int = 0
    images: Images | None = None

    def weight(self, name: str) -> Tensor:
        """Return a layer's weight in float32 on the CPU."""
        return weight_of(self.model, name).float().cpu()


class EachLayer:
    """A criterion that is a function of one layer's weight, name and seed.

    Parameters
    ----------
    score : callable
        ``(weight, name, seed) -> scores``.
    each_weight : bool
        Whether a weight's score depends on that weight alone, so that a layer can be scored piece by piece.
    """

    def __init__(self, score: OfLayer, *, each_weight: bool = False) -> None:
        self.score, self.each_weight = score, each_weight
        functools.update_wrapper(self, score)

    def __call__(self, task: Task) -> Scores:
        """Return the scores of all layers."""
        return {name: self.score(task.weight(name), name, task.seed) for name in task.layers}

    def pieces(self, task: Task, name: str, size: int) -> Iterator[Tensor]:
        """Yield a layer's scores in order, flat, in pieces of at most ``size`` where that is possible."""
        weight = task.weight(name).detach()
        for part in torch.split(weight.reshape(-1), size) if self.each_weight else (weight,):
            yield self.score(part, name, task.seed).reshape(-1)


def each_layer(score: OfLayer) -> EachLayer:
    """Turn a function of one layer's weight, name and seed into a criterion."""
    return EachLayer(score)


def each_weight(score: OfLayer) -> EachLayer:
    """Turn a function that scores each weight by itself into a criterion."""
    return EachLayer(score, each_weight=True)


def twin(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parameters share the model's memory and take gradients.

    The model itself may serve other threads meanwhile: nothing of it is changed, not even for the time of a call (which is what
    ``torch.func.functional_call`` does). Buffers are copied: a forward pass could write to them.

    Raises
    ------
    ModelError
        If a layer's weight is not a plain parameter.
    """
    check_plain(model)
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        # autograd refuses tensors that were made in inference mode
        value = parameter.detach().clone() if parameter.is_inference() else parameter.detach()
        memo[id(parameter)] = nn.Parameter(value, requires_grad=value.is_floating_point() or value.is_complex())
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().clone()
    return copy.deepcopy(model, memo).eval()
