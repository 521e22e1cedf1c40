"""What a cut of single weights is: a rule for each layer, applied to scores that were computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.anatomy import weight_of
from prunekit.choices import NEEDS_DATA
from prunekit.criteria import scored_on, weight_scores
from prunekit.errors import PruningError
from prunekit.pruning.selection import chosen_layers
from prunekit.spec import PruneSpec

Bools = NDArray[np.bool_]
Flat = NDArray[np.float32]
Shape = tuple[int, ...]
GONE = -1.0
"""The score of a weight that is zero already: below every score of a criterion, so that whatever is cut, it is among what goes."""


class Rule(Protocol):
    """Which weights of one layer go."""

    def keep(self, scores: Flat, shape: Shape) -> Bools:
        """Return which of some flat scores stay, for a weight of this shape."""

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go, without making a mask where that is possible."""


Cut = Mapping[str, Rule]


@dataclass(frozen=True)
class LayerCut:
    """Weights scoring below ``threshold`` go, and the first ``ties`` of those equal to it."""

    threshold: np.float32
    ties: int = 0

    def keep(self, scores: Flat, shape: Shape) -> Bools:
        """Return which of some flat scores stay."""
        kept = scores >= self.threshold
        if self.ties:
            kept[np.flatnonzero(scores == self.threshold)[: self.ties]] = False
        return kept

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go."""
        return int(np.searchsorted(scored.ordered(name), self.threshold, side="left")) + self.ties


def lowest(ordered: Flat, count: int) -> LayerCut:
    """Return the cut that removes exactly ``count`` of some sorted scores."""
    if count == 0:
        return LayerCut(np.float32(-np.inf))
    value = ordered[count - 1]
    if value < np.inf and (count == ordered.size or ordered[count] > value):  # all that equal it go: no need to look for them
        return LayerCut(np.nextafter(value, np.float32(np.inf)))
    return LayerCut(value, count - int(np.searchsorted(ordered, value, side="left")))


@dataclass(frozen=True, eq=False)
class ScoredWeights:
    """The weights of the chosen layers, scored once.

    Attributes
    ----------
    spec : PruneSpec
        The setting that was scored.
    scores : dict of str to ndarray
        Layer name to float32 scores, flattened; -1 for a weight that is zero already, at least 0 for all others.
    shapes : dict of str to tuple
        Shape of each layer's weight.
    notes : tuple of str
        Sentences on where the scores come from.
    """

    spec: PruneSpec
    scores: dict[str, Flat]
    shapes: dict[str, Shape]
    notes: tuple[str, ...] = ()
    mode: ClassVar[str] = "unstructured"

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, data: Any = None) -> Self:
        """Score the layers that ``spec`` chooses.

        Parameters
        ----------
        model : nn.Module
            Not modified. Weights that are zero already stay zero: they rank below all others.
        spec : PruneSpec
            A setting of this ranking's mode.
        data : Data or Split, optional
            For criteria that look at training data.

        Raises
        ------
        PruningError, ModelError
            For another mode, unknown layers, nothing to prune, or weights that are not finite.
        DataError
            If the criterion needs data and there are none.
        """
        if spec.mode != cls.mode:
            raise PruningError(f"{cls.__name__} ranks mode {cls.mode!r}; got mode {spec.mode!r}. Set the mode, or call prune()")
        scores = weight_scores(model, chosen_layers(model, spec), spec.criterion, spec.seed, data, spec.samples)
        flat = {name: _flat(score, weight_of(model, name)) for name, score in scores.items()}
        note = scored_on(data, spec.samples) if spec.criterion in NEEDS_DATA else None
        return cls(spec, flat, {name: tuple(score.shape) for name, score in scores.items()}, () if note is None else (note,))

    @property
    def sizes(self) -> dict[str, int]:
        """Number of weights in each chosen layer."""
        return {name: score.size for name, score in self.scores.items()}

    @cached_property
    def zeros(self) -> dict[str, int]:
        """Number of weights in each chosen layer that are zero already."""
        return {name: int(np.count_nonzero(score < 0)) for name, score in self.scores.items()}

    @cached_property
    def _ordered_layers(self) -> dict[str, Flat]:
        """Sorted scores of single layers, filled on first use."""
        return {}

    def ordered(self, name: str) -> Flat:
        """Return the scores of one layer in ascending order (remembered)."""
        if name not in self._ordered_layers:
            self._ordered_layers[name] = np.sort(self.scores[name])
        return self._ordered_layers[name]

    def removed(self, cut: Cut) -> dict[str, int]:
        """Return how many weights a cut removes from each layer, those that are zero already among them."""
        return {name: rule.removed(self, name) for name, rule in cut.items()}

    def masks(self, cut: Cut) -> dict[str, Tensor]:
        """Return the masks of a cut.

        Returns
        -------
        dict of str to BoolTensor
            Of the weights' shapes; True where a weight stays. No weight that is zero already stays.
        """
        kept = {name: rule.keep(self.scores[name], self.shapes[name]) for name, rule in cut.items()}
        return {name: torch.from_numpy(keep).view(self.shapes[name]) for name, keep in kept.items()}


def _flat(score: Tensor, weight: Tensor) -> Flat:
    """Return a layer's scores as a flat array, weights that are zero already below all others."""
    zero = (weight == 0).cpu()
    marked = score.masked_fill(zero, GONE) if bool(zero.any()) else score
    return np.ascontiguousarray(marked.numpy().reshape(-1))
