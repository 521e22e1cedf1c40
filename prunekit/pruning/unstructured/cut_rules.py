"""What a cut of single weights is: a rule for each layer, applied to scores that were computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config.choices import NEEDS_DATA
from prunekit.config.spec import PruneSpec
from prunekit.criteria.samples import scored_on
from prunekit.criteria.scoring import score_pieces, weight_scores
from prunekit.errors import PruningError
from prunekit.models.cost import nonzeros
from prunekit.models.layers import input_axis, weight_of
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.unstructured.sorted_scores import Flat, Order

Bools = NDArray[np.bool_]
Shape = tuple[int, ...]
PIECE = 32_000  # weights scored at a time, where not all scores are held: they fit a cache, and torch wakes no second thread for so few
GONE = -1.0
"""The score of a weight that is zero already: below every score of a criterion, so that it is removed first."""


class Rule(Protocol):
    """Which weights of one layer go."""

    def keep(self, pieces: Iterable[Flat], shape: Shape) -> Bools:
        """Return which of some flat scores, given piece by piece, stay, for a weight of this shape."""

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go, without making a mask where that is possible."""


Cut = Mapping[str, Rule]
"""Where each layer is cut, by its name."""


@dataclass(frozen=True)
class LayerCut:
    """Weights scoring below ``threshold`` go, and the first ``ties`` of those equal to it."""

    threshold: np.float32
    ties: int = 0

    def keep(self, pieces: Iterable[Flat], shape: Shape) -> Bools:
        """Return which of some flat scores, given piece by piece, stay."""
        kept, start, left = np.empty(math.prod(shape), dtype=np.bool_), 0, self.ties
        for scores in pieces:
            part = kept[start : start + scores.size]
            np.greater_equal(scores, self.threshold, out=part)
            if left:
                tied = np.flatnonzero(scores == self.threshold)[:left]
                part[tied] = False
                left -= tied.size
            start += scores.size
        return kept

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go."""
        return scored.order(name).left(self.threshold) + self.ties


@dataclass(frozen=True)
class RowCut:
    """Of every output the lowest weights go, of equal ones the first: ``count`` in all, no output losing two more than another.

    Outputs lie along the first axis, or along the second where the inputs lie along the first (``axis``). Weights that are zero already
    go wherever they stand: an output with many of them loses those, and the others so much less.
    """

    count: int
    axis: int = 1

    def keep(self, pieces: Iterable[Flat], shape: Shape) -> Bools:
        """Return which of some flat scores, given piece by piece, stay, for a weight of this shape."""
        scores = joined(pieces).reshape(shape)
        rows = (scores.swapaxes(0, 1) if self.axis == 0 else scores).reshape(shape[1 - self.axis], -1)
        counts = self._shared((rows < 0).sum(1))[:, None]
        threshold = np.take_along_axis(np.sort(rows, axis=1), np.maximum(counts - 1, 0), axis=1)
        below, equal = rows < threshold, rows == threshold
        kept = ~(below | (equal & (equal.cumsum(1) <= counts - below.sum(1, keepdims=True))))
        if self.axis == 0:
            kept = kept.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
        return np.ascontiguousarray(kept).reshape(-1)

    def _shared(self, zeros: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return how many weights go from each output, of which so many are zero already."""
        counts, open_ = zeros.copy(), np.ones(len(zeros), dtype=np.bool_)
        while open_.any():
            each, more = divmod(max(self.count - int(counts[~open_].sum()), 0), int(open_.sum()))
            share = np.full(int(open_.sum()), each)
            share[:more] += 1
            counts[open_] = np.maximum(share, zeros[open_])
            held = open_.copy()
            held[open_] = zeros[open_] > share
            if not held.any():
                break
            open_ &= ~held
        return counts

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go."""
        kept = self.keep(scored.pieces(name), scored.shapes[name])
        return int(kept.size - np.count_nonzero(kept))


def joined(pieces: Iterable[Flat]) -> Flat:
    """Return pieces as one array; a single one as it is."""
    found = list(pieces)
    return found[0] if len(found) == 1 else np.concatenate(found)


@dataclass(frozen=True, eq=False)
class ScoredWeights:
    """The weights of the chosen layers, scored for as many cuts as are wanted, or for one."""

    spec: PruneSpec
    # layer name to float32 scores, flattened; -1 for a weight that is zero already, at least 0 for all others. For many cuts they are held,
    # and so is their order; for one, a criterion that scores layer by layer is asked whenever they are needed
    scores: Mapping[str, Flat]
    shapes: dict[str, Shape]  # shape of each layer's weight
    notes: tuple[str, ...] = ()  # sentences on where the scores come from
    once: bool = False  # whether they are for one cut only
    input_axes: dict[str, int] = field(default_factory=dict)  # along which axis of each weight its inputs lie
    # model to what ``check_influence`` said of layers that were cut: the same at every cut of one model
    unused: WeakKeyDictionary[nn.Module, dict[tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )
    mode: ClassVar[str] = "unstructured"

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, data: Any = None, *, once: bool = False) -> Self:
        """Score the layers that ``spec`` chooses."""
        if spec.mode != cls.mode:
            raise PruningError(f"{cls.__name__} ranks mode {cls.mode!r}; got mode {spec.mode!r}. Set the mode, or call prune()")
        names = chosen_layers(model, spec)
        shapes = {name: tuple(weight_of(model, name).shape) for name in names}
        axes = {name: input_axis(model, name) for name in names}
        pieces = score_pieces(model, names, spec.criterion, spec.seed, PIECE, data, spec.samples) if once else None
        note = scored_on(data, spec.samples) if spec.criterion in NEEDS_DATA and data is not None else None
        notes = () if note is None else (note,)
        if pieces is not None:
            return cls(spec, Asked(model, shapes, pieces), shapes, notes, once=True, input_axes=axes)
        scores = weight_scores(model, names, spec.criterion, spec.seed, data, spec.samples)
        flat = {name: _marked(score.reshape(-1), weight_of(model, name).reshape(-1)) for name, score in scores.items()}
        return cls(spec, flat, shapes, notes, once, axes)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of weights in each chosen layer."""
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @cached_property
    def zeros(self) -> dict[str, int]:
        """Number of weights in each chosen layer that are zero already."""
        return {name: sum(int(np.count_nonzero(part < 0)) for part in self.pieces(name)) for name in self.shapes}

    def pieces(self, name: str) -> Iterable[Flat]:
        """Return the scores of one layer in pieces, in order."""
        return self.scores.pieces(name) if isinstance(self.scores, Asked) else (self.scores[name],)

    @cached_property
    def _orders(self) -> dict[str, Order]:
        """Orders of single layers, filled on first use."""
        return {}

    def order(self, name: str) -> Order:
        """Return the scores of one layer in ascending order, remembered unless there is one cut only."""
        if self.once:
            return Order.whole(self.scores[name])
        if name not in self._orders:
            self._orders[name] = Order.whole(self.scores[name])
        return self._orders[name]

    def removed(self, cut: Cut) -> dict[str, int]:
        """Return how many weights a cut removes from each layer, those that are zero already among them."""
        return {name: rule.removed(self, name) for name, rule in cut.items()}

    def masks(self, cut: Cut) -> dict[str, Tensor]:
        """Return the masks of a cut."""
        return dict(self.each_mask(cut))

    def each_mask(self, cut: Cut) -> Iterator[tuple[str, Tensor]]:
        """Yield the masks of a cut, made one at a time."""
        for name, rule in cut.items():
            shape = self.shapes[name]
            yield name, torch.from_numpy(rule.keep(self.pieces(name), shape)).view(shape)


class Asked(Mapping[str, Flat]):
    """Scores that are computed whenever they are asked for."""

    def __init__(self, model: nn.Module, shapes: Mapping[str, Shape], pieces: Callable[[str], Iterable[Tensor]]) -> None:
        self.model, self.shapes, self._pieces = model, shapes, pieces

    def pieces(self, name: str) -> Iterator[Flat]:
        """Yield the scores of one layer, in order."""
        weight, start = weight_of(self.model, name).detach().reshape(-1), 0
        for score in self._pieces(name):
            yield _marked(score, weight[start : start + score.numel()])
            start += score.numel()

    def __getitem__(self, name: str) -> Flat:
        return np.concatenate(list(self.pieces(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def _marked(score: Tensor, weight: Tensor) -> Flat:
    """Return flat scores as an array, weights that are zero already below all others."""
    if nonzeros(weight) < weight.numel():
        score = score.masked_fill((weight == 0).cpu(), GONE)
    return np.ascontiguousarray(score.numpy())
