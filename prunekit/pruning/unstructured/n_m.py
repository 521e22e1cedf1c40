"""N:M pruning: of every M consecutive weights along the input dimension the N best stay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.config import fields as check
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import inputs_of
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.unstructured.allocation import named
from prunekit.pruning.unstructured.cut_rules import Bools, Cut, ScoredWeights, Shape, joined
from prunekit.pruning.unstructured.masks import Ranking
from prunekit.pruning.unstructured.sorted_scores import Flat

FEW = 16  # up to so many weights in a block, comparing all pairs is faster than sorting


@dataclass(frozen=True)
class PatternCut:
    """Of every ``m`` consecutive inputs the ``n`` best-scoring weights stay; of equal ones the first go.

    Blocks lie along the input dimension (``axis``: 1, but for layers that store their weight the other way round), for a convolution within
    each position of the kernel, as in the sparse tensor cores that the pattern is made for (Mishra et al. 2021, Accelerating Sparse Deep
    Neural Networks; arXiv:2104.08378). What is left over beyond the last whole block stays. Weights that are zero already go wherever they
    stand.
    """

    n: int
    m: int
    axis: int = 1

    def keep(self, pieces: Iterable[Flat], shape: Shape) -> Bools:
        """Return which of some flat scores, given piece by piece, stay, for a weight of this shape."""
        scores = joined(pieces)
        if self.axis == 0:  # a weight of [in, out, ...]: as one of [out, in, ...]
            turned = scores.reshape(shape[0], -1).T.reshape(-1)
            kept = replace(self, axis=1).keep([turned], (turned.size // shape[0], shape[0]))
            return kept.reshape(-1, shape[0]).T.reshape(-1)
        out, inputs, kernel = shape[0], shape[1], math.prod(shape[2:])
        whole = inputs - inputs % self.m
        by_input = scores.reshape(out, inputs, kernel)[:, :whole].swapaxes(1, 2).reshape(-1, self.m)
        kept = (scores >= 0).reshape(out, inputs, kernel)
        kept[:, :whole] &= (_places(by_input) >= self.m - self.n).reshape(out, kernel, whole).swapaxes(1, 2)
        return kept.reshape(-1)

    def removed(self, scored: ScoredWeights, name: str) -> int:
        """Return how many weights of a layer go."""
        kept = self.keep(scored.pieces(name), scored.shapes[name])
        return int(kept.size - np.count_nonzero(kept))


def _places(blocks: Flat) -> NDArray[np.signedinteger]:
    """Return the place of each score within its row in ascending order, equal ones by index."""
    size = blocks.shape[1]
    if size > FEW:
        return np.argsort(np.argsort(blocks, axis=1, kind="stable"), axis=1)
    columns = np.ascontiguousarray(blocks.T)
    places = np.zeros(columns.shape, dtype=np.int8)
    for later in range(size):
        for earlier in range(later):
            ahead = columns[earlier] <= columns[later]
            places[later] += ahead
            places[earlier] += ~ahead
    return places.T


@dataclass(frozen=True, eq=False)
class PatternRanking(ScoredWeights):
    """The weights of the chosen layers, scored once, to be cut by a pattern; used like :class:`prunekit.pruning.Ranking`.

    Attributes
    ----------
    spec : PruneSpec
        A setting of mode "nm".
    scores, shapes, notes, input_axes
        As in :class:`~prunekit.pruning.unstructured.cut_rules.ScoredWeights`.
    """

    mode: ClassVar[str] = "nm"

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, data: Any = None, *, once: bool = False) -> Self:
        """Score the layers that ``spec`` chooses; parameters and errors as for :meth:`prunekit.pruning.Ranking.of`.

        Raises
        ------
        PruningError
            If no chosen layer has a whole block.
        """
        if spec.mode == cls.mode:
            _check_blocks({name: inputs_of(model, name) for name in chosen_layers(model, spec)}, check.pattern(spec.pattern)[1])
        return super().of(model, spec, data, once=once)

    def inputs(self, name: str) -> int:
        """Return how many inputs a layer has."""
        return self.shapes[name][self.input_axes.get(name, 1)]

    @property
    def pattern(self) -> tuple[int, int]:
        """N and M: N of every M weights stay."""
        return check.pattern(self.spec.pattern)

    @cached_property
    def _removed(self) -> dict[str, int]:
        """Return how many weights go from each layer: there is but one cut."""
        return super().removed(self.cut())

    def cut(self, sparsity: float | None = None) -> Cut:
        """Return the cut.

        Parameters
        ----------
        sparsity : float, optional
            The pattern's own, or left out.

        Raises
        ------
        SpecError
            If the sparsity is not the pattern's.
        """
        if sparsity is not None:
            self.spec.at(sparsity)
        return {name: PatternCut(*self.pattern, self.input_axes.get(name, 1)) for name in self.shapes}

    def removed(self, cut: Cut) -> dict[str, int]:
        """Return how many weights a cut removes from each layer, those that are zero already among them."""
        return {name: self._removed[name] for name in cut}

    def requested(self, spec: PruneSpec) -> dict[str, float | None]:
        """Return the pattern's sparsity for each chosen layer that has a whole block, None for the others."""
        n, m = self.pattern
        return {name: 1 - n / m if self.inputs(name) >= m else None for name in self.shapes}

    def limits(self, spec: PruneSpec) -> tuple[str, ...]:
        """Say in plain sentences which inputs the pattern leaves whole."""
        groups: dict[int, list[str]] = {}
        for name in self.shapes:
            if self.inputs(name) % self.pattern[1]:
                groups.setdefault(self.inputs(name), []).append(name)
        return (*self.notes, *(_left_whole(names, inputs, self.pattern[1]) for inputs, names in groups.items()))


def _left_whole(names: list[str], inputs: int, m: int) -> str:
    """Say which inputs of some layers do not make a block."""
    rest = inputs % m
    what = f"{_inputs(inputs)}" if inputs < m else f"the last {_inputs(rest) if rest > 1 else 'input'} of {inputs:,}"
    if rest == 1:
        return f"{', '.join(names)}: {what} does not make a block of {m}: it stays whole"
    return f"{', '.join(names)}: {what} do not make a block of {m}: they stay whole"


def _inputs(count: int) -> str:
    """Return a number of inputs in words."""
    return f"{count:,} input{'' if count == 1 else 's'}"


def _check_blocks(inputs: dict[str, int], m: int) -> None:
    """Raise unless some layer has a whole block."""
    if max(inputs.values()) < m:
        groups: dict[int, list[str]] = {}
        for name, count in inputs.items():
            groups.setdefault(count, []).append(name)
        said = "; ".join(f"{named(names)} {'has' if len(names) == 1 else 'have'} {_inputs(count)}" for count, names in groups.items())
        raise PruningError(
            f"no chosen layer has a block of {m} inputs ({said}): choose a smaller pattern, other layers, or mode unstructured"
        )


def rank(model: nn.Module, spec: PruneSpec, data: Any = None, *, once: bool = False) -> Ranking | PatternRanking:
    """Score the weights that a setting chooses, once, for as many cuts as its mode has.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    spec : PruneSpec
        Of mode "unstructured" or "nm".
    data : Data or Split, optional
        For criteria that look at training data.
    once : bool
        For a single cut of a model that may be large, as for :meth:`prunekit.pruning.Ranking.of`.

    Raises
    ------
    PruningError, ModelError, DataError
        As :meth:`prunekit.pruning.Ranking.of`; PruningError for mode "structured" too.
    """
    if spec.mode == "structured":
        raise PruningError("mode 'structured' ranks channels, not single weights: use ChannelRanking.of(), or prune()")
    return PatternRanking.of(model, spec, data, once=once) if spec.mode == "nm" else Ranking.of(model, spec, data, once=once)
