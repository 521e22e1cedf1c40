"""`Criterion`, one way to score importance; `ScoringTask`, its input; and decorators that make one of a function of a weight."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

Scores: TypeAlias = "dict[str, Tensor]"
OfLayer: TypeAlias = "Callable[[Tensor, str, int], Tensor]"


@dataclass(frozen=True, eq=False)
class ScoringTask:
    """One question to a criterion."""

    model: nn.Module  # the dense model; never written to
    layers: tuple[str, ...]
    seed: int = 0
    samples: Any = None  # samples with targets, already mixed, for the criteria that look at data
    # layers whose outputs are not along the first axis of the weight -> that axis, and the number of groups of a transposed convolution
    layouts: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def weight(self, name: str) -> Tensor:
        """Return a layer's weight in float32 on the CPU."""
        from prunekit.models.layers import weight_of  # noqa: PLC0415 (criteria are declared without torch)

        return self.outputs_first(name, weight_of(self.model, name)).float().cpu()

    def outputs_first(self, name: str, tensor: Tensor) -> Tensor:
        """Return a layer's weight, or what has its shape, with the outputs along its first axis."""
        axis, groups = self.layouts.get(name, (0, 1))
        if groups > 1:  # a transposed convolution: [in, out / groups, ...]
            return tensor.reshape(groups, -1, *tensor.shape[1:]).transpose(1, 2).flatten(0, 1)
        return tensor.movedim(axis, 0) if axis else tensor


class EachLayer:
    """A criterion that is a function of one layer's weight, name and seed. ``score``: ``(weight, name, seed) -> scores``."""

    def __init__(self, score: OfLayer, *, each_weight: bool = False) -> None:
        self.score, self.each_weight = score, each_weight
        functools.update_wrapper(self, score)

    def __call__(self, task: ScoringTask) -> Scores:
        """Return the scores of all layers."""
        return {name: self.score(task.weight(name), name, task.seed) for name in task.layers}

    def pieces(self, task: ScoringTask, name: str, size: int) -> Iterator[Tensor]:
        """Yield a layer's scores in order, flat, in pieces of at most ``size`` where that is possible."""
        weight = task.weight(name).detach()
        parts = weight.reshape(-1).split(size) if self.each_weight else (weight,)  # type: ignore[no-untyped-call]
        for part in parts:
            yield self.score(part, name, task.seed).reshape(-1)


class Prepared:
    """A criterion that looks at the samples once, and then is a function of one layer: scores of all layers need never be held.

    ``look``: ``task -> (weight, name, seed) -> scores``.
    """

    def __init__(self, look: Callable[[ScoringTask], OfLayer]) -> None:
        self.look = look
        functools.update_wrapper(self, look)

    def prepare(self, task: ScoringTask) -> EachLayer:
        """Return what scores a layer, once the samples have been looked at."""
        return EachLayer(self.look(task))

    def __call__(self, task: ScoringTask) -> Scores:
        """Return the scores of all layers."""
        return self.prepare(task)(task)


def each_layer(score: OfLayer) -> EachLayer:
    """Turn a function of one layer's weight, name and seed into a criterion."""
    return EachLayer(score)


def each_weight(score: OfLayer) -> EachLayer:
    """Turn a function that scores each weight by itself into a criterion."""
    return EachLayer(score, each_weight=True)


Score = Callable[[ScoringTask], Scores]


@dataclass(frozen=True)
class Criterion:
    """One way to score importance.

    A module of `prunekit.criteria.methods` declares it, and imports torch in its functions only: the names of criteria are asked for
    where nothing is scored, as by ``prunekit --help``.

    Attributes
    ----------
    name, title : str
        As in a spec, and as on the screen.
    formula : str
        What is computed for one weight, and for one channel.
    source : str
        Where the method comes from.
    advice : str
        One sentence: when it is good.
    weight, channel : callable, optional
        Scores of single weights and of channels; None where it has none.
    needs_data : bool
        Whether training data are used.
    random : bool
        Whether scores are independent noise by seed: then they are never averaged.
    carrier : {"layer", "norm"}
        What it scores: prunable layers, or the BatchNorm modules behind their channels.
    block : {"mean", "mean by root", "total"}
        How the scores of a layer's channels make one of the layer, to compare whole blocks: their mean, which suits scores that do not
        depend on a layer's size; that over the root of the number of its weights, for sums over weights; or their total, for
        parts of one whole.
    updates : bool
        Whether pruning by it also updates kept weights: then each setting is carried out by itself, for scores alone do not decide it.
    comparable : bool
        Whether scores of channels compare over layers as they are: then a setting's default does not take them over their layer's mean.
    by_sample : bool
        Whether channels are scored on each sample by itself, ``[channels, samples]``: coupled channels are added up within a sample, and
        the mean over samples is that of absolute values.
    by_size : bool
        Whether scores of single weights rank those of one layer by their magnitude, as the histogram of a cut takes for granted.
    size_at : callable, optional
        Of a criterion ``by_size`` the magnitude behind a score; None where that depends on the layer.
    only : str
        Where it scores either weights or channels, why not the others.
    order : int
        Its place in lists.
    """

    name: str
    title: str
    formula: str
    source: str
    advice: str
    weight: Score | None = None
    channel: Score | None = None
    needs_data: bool = False
    random: bool = False
    carrier: Literal["layer", "norm"] = "layer"
    block: Literal["mean", "mean by root", "total"] = "mean"
    updates: bool = False
    comparable: bool = False
    by_sample: bool = False
    by_size: bool = False
    size_at: Callable[[float], float] | None = None
    only: str = ""
    order: int = 1000
