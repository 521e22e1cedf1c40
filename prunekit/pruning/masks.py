"""Unstructured pruning: scored once, cut at any sparsity, to the exact count.

A cut is described by a threshold for each layer and a number of ties: every weight that scores below the threshold goes, and of those that
score exactly the threshold the first ones by index. Masks are made from it when they are needed, counts without making masks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.criteria import weight_scores
from prunekit.errors import PruningError
from prunekit.pruning.selection import chosen_layers, share_out
from prunekit.spec import PruneSpec

Flat = NDArray[np.float32]


@dataclass(frozen=True)
class LayerCut:
    """Weights scoring below ``threshold`` go, and the first ``ties`` of those equal to it."""

    threshold: np.float32
    ties: int = 0


Cut = Mapping[str, LayerCut]


def _kth(ordered: Flat, count: int) -> tuple[np.float32, int]:
    """Return the threshold and the number of ties that remove exactly ``count`` of some sorted scores."""
    if count == 0:
        return np.float32(-np.inf), 0
    value = ordered[count - 1]
    if count == ordered.size or ordered[count] > value:  # all that equal the threshold go: no need to look for them
        return np.nextafter(value, np.float32(np.inf)), 0
    return value, count - int(np.searchsorted(ordered, value, side="left"))


@dataclass(frozen=True, eq=False)
class Ranking:
    """The weights of the chosen layers, scored once.

    Build it with :meth:`of`; then :meth:`cut` at as many sparsities as wanted.

    Attributes
    ----------
    spec : PruneSpec
        The setting that was ranked; its sparsity is the default of :meth:`cut`.
    scores : dict of str to ndarray
        Layer name to float32 scores, flattened.
    shapes : dict of str to tuple
        Shape of each layer's weight.
    """

    spec: PruneSpec
    scores: dict[str, Flat]
    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec) -> Ranking:
        """Score the layers that ``spec`` chooses.

        Raises
        ------
        PruningError, ModelError
            For unknown layers, nothing to prune, or weights that are not finite.
        """
        scores = weight_scores(model, chosen_layers(model, spec), spec.criterion, spec.seed)
        flat = {name: np.ascontiguousarray(score.numpy().reshape(-1)) for name, score in scores.items()}
        return cls(spec, flat, {name: tuple(score.shape) for name, score in scores.items()})

    @property
    def sizes(self) -> dict[str, int]:
        """Number of weights in each chosen layer."""
        return {name: score.size for name, score in self.scores.items()}

    @cached_property
    def _fixed(self) -> dict[str, int]:
        """Weights that the overrides remove."""
        return {name: round(share * self.scores[name].size) for name, share in self.spec.overrides}

    @cached_property
    def _free(self) -> tuple[str, ...]:
        """Layers without an override."""
        return tuple(name for name in self.scores if name not in self._fixed)

    @cached_property
    def _ordered_layers(self) -> dict[str, Flat]:
        """Sorted scores of single layers, filled on first use."""
        return {}

    def ordered(self, name: str) -> Flat:
        """Return the scores of one layer in ascending order (remembered)."""
        if name not in self._ordered_layers:
            self._ordered_layers[name] = np.sort(self.scores[name])
        return self._ordered_layers[name]

    @cached_property
    def _ordered_free(self) -> Flat:
        """Scores of all free layers together, in ascending order."""
        return np.sort(np.concatenate([self.scores[name] for name in self._free]))

    def cut(self, sparsity: float | None = None) -> Cut:
        """Describe what goes at a sparsity.

        Parameters
        ----------
        sparsity : float, optional
            Share of all chosen weights to remove; the spec's own sparsity or threshold when left out.

        Returns
        -------
        mapping of str to LayerCut
            For each chosen layer. Exactly ``round(sparsity * n)`` weights go in all (global scope) or in each layer (uniform).

        Raises
        ------
        PruningError
            If the overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        cuts = {name: LayerCut(*_kth(self.ordered(name), count)) for name, count in self._fixed.items()}
        if spec.threshold is not None:
            cuts |= {name: LayerCut(np.float32(spec.threshold)) for name in self._free}
        elif self._free and spec.scope == "global":
            cuts |= self._global_cut(self._rest(spec))
        else:
            shares = self.requested(spec)
            cuts |= {name: LayerCut(*_kth(self.ordered(name), round((shares[name] or 0) * self.sizes[name]))) for name in self._free}
        return {name: cuts[name] for name in self.scores}

    def _rest(self, spec: PruneSpec) -> int:
        """Return how many weights the free layers have to give."""
        assert spec.sparsity is not None
        return share_out(round(spec.sparsity * sum(self.sizes.values())), self.sizes, self._fixed, "weights")

    def requested(self, spec: PruneSpec) -> dict[str, float | None]:
        """Return the sparsity asked of each chosen layer; None where the scope or a threshold decides."""
        free: float | None = None
        if spec.threshold is None:
            rest = self._rest(spec)
            if spec.scope == "uniform":
                free = rest / max(sum(self.sizes[name] for name in self._free), 1) if self._fixed else spec.sparsity
        return {name: dict(self.spec.overrides).get(name, free) for name in self.scores}

    def _global_cut(self, rest: int) -> dict[str, LayerCut]:
        """Rank all free layers together; ties are broken by layer, then by index."""
        threshold, ties = _kth(self._ordered_free, rest)
        cuts = {}
        for name in self._free:
            mine = min(ties, int(np.count_nonzero(self.scores[name] == threshold))) if ties else 0
            ties -= mine
            cuts[name] = LayerCut(threshold, mine)
        return cuts

    def removed(self, cut: Cut) -> dict[str, int]:
        """Return how many weights a cut removes from each layer, without making masks."""
        return {name: int(np.searchsorted(self.ordered(name), c.threshold, side="left")) + c.ties for name, c in cut.items()}

    def masks(self, cut: Cut) -> dict[str, Tensor]:
        """Return the masks of a cut.

        Returns
        -------
        dict of str to BoolTensor
            Of the weights' shapes; True where a weight stays.
        """
        masks = {}
        for name, layer in cut.items():
            keep = self.scores[name] >= layer.threshold
            if layer.ties:
                keep[np.flatnonzero(self.scores[name] == layer.threshold)[: layer.ties]] = False
            masks[name] = torch.from_numpy(keep).view(self.shapes[name])
        return masks


def masks_at(model: nn.Module, spec: PruneSpec, sparsities: Iterable[float]) -> Iterator[dict[str, Tensor]]:
    """Yield the masks of one setting at several sparsities; the model is scored once.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    spec : PruneSpec
        An unstructured setting; its own sparsity is ignored.
    sparsities : iterable of float
        Each at least 0 and below 1.

    Yields
    ------
    dict of str to BoolTensor
        Layer name to mask, True where a weight stays. Masks at a higher sparsity are subsets of those at a lower one.

    Raises
    ------
    PruningError
        If the mode is not unstructured, or a total is out of reach.
    """
    if spec.mode != "unstructured":
        raise PruningError("masks exist for mode 'unstructured'; use plan() and shrink() for structured pruning")
    ranking = Ranking.of(model, spec)
    for sparsity in sparsities:
        yield ranking.masks(ranking.cut(sparsity))


def masked_copy(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of a model whose removed weights are zero.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    masks : mapping of str to BoolTensor
        Layer name to mask.

    Returns
    -------
    nn.Module
        Of the same class and size, without hooks or reparametrisation.
    """
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            weight = pruned.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            weight.masked_fill_(~mask.to(weight.device), 0)
    return pruned
