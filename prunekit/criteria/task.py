"""What a criterion is asked to score."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from prunekit.anatomy import weight_of
from prunekit.criteria.samples import Images

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


def each_layer(score: OfLayer) -> Callable[[Task], Scores]:
    """Turn a function of one layer's weight, name and seed into a criterion."""

    @functools.wraps(score)
    def scores(task: Task) -> Scores:
        return {name: score(task.weight(name), name, task.seed) for name in task.layers}

    return scores
