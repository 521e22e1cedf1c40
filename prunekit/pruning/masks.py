"""Unstructured pruning: scored once, cut at any sparsity, to the exact count.

A cut is described by a threshold for each layer and a number of ties: every weight that scores below the threshold goes, and of those that
score exactly the threshold the first ones by index. Masks are made from it when they are needed, counts without making masks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import PruningError
from prunekit.pruning.budget import Budget
from prunekit.pruning.cuts import Cut, Flat, LayerCut, ScoredWeights, lowest
from prunekit.pruning.shares import Counts
from prunekit.spec import PruneSpec

__all__ = ["Cut", "LayerCut", "Ranking", "masked_copy", "masks_at"]

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True, eq=False)
class Ranking(ScoredWeights):
    """The weights of the chosen layers, scored once, to be cut by rank.

    Build it with :meth:`of`; then :meth:`cut` at as many sparsities as wanted. Weights that are zero already always go, and count: no cut
    removes fewer. No layer loses more than its cap allows, except what is zero already.

    Attributes
    ----------
    spec : PruneSpec
        The setting that was ranked; its sparsity or threshold is the default of :meth:`cut`.
    scores, shapes, notes
        As in :class:`~prunekit.pruning.cuts.ScoredWeights`.
    """

    @cached_property
    def budget(self) -> Budget:
        """How many weights each layer has to give."""
        return Budget(self.spec, self.shapes, self.zeros)

    @cached_property
    def _ordered_free(self) -> Flat:
        """Scores of what the free layers may lose, all together, in ascending order.

        A layer's weights beyond its cap are out of the race: the others make up the total by themselves.
        """
        free, capped = self.budget.free, self.budget.capped
        return np.sort(np.concatenate([self._open(name) if name in capped else self.scores[name] for name in free]))

    def _open(self, name: str) -> Flat:
        """Return the scores that a layer may lose, in ascending order."""
        return self.ordered(name)[: self.budget.most[name]]

    def cut(self, sparsity: float | None = None) -> Cut:
        """Describe what goes at a sparsity.

        Parameters
        ----------
        sparsity : float, optional
            Share of all chosen weights to remove; the spec's own sparsity or threshold when left out.

        Returns
        -------
        mapping of str to LayerCut
            For each chosen layer. Exactly ``round(sparsity * n)`` weights go in all (scopes global and ERK) or of each layer (uniform).
            Where a layer holds more zeros than its share or is held by its cap, the others make up the total; where that is out of
            reach, it goes as far as the bounds allow and :meth:`limits` says so.

        Raises
        ------
        PruningError
            If the overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        if spec.threshold is not None:
            cuts = {name: self._held(name, _below(spec.threshold)) for name in self.budget.free}
        elif spec.scope == "global":
            cuts = self._global_cut(self.budget.rest(spec))
        else:
            cuts = self._lowest(self.budget.counts(spec))
        cuts |= self._lowest(self.budget.fixed)
        return {name: cuts[name] for name in self.scores}

    def _lowest(self, counts: Counts) -> dict[str, LayerCut]:
        """Return the cuts that remove some number of weights from each layer."""
        return {name: lowest(self.ordered(name), count) for name, count in counts.items()}

    def _held(self, name: str, cut: LayerCut) -> LayerCut:
        """Return a layer's cut, or the one that stops at its cap."""
        most = self.budget.most[name]
        return lowest(self.ordered(name), most) if name in self.budget.capped and cut.removed(self, name) > most else cut

    def _global_cut(self, rest: int) -> dict[str, LayerCut]:
        """Rank all free layers together; ties are broken by layer, then by index."""
        if not self.budget.free:
            return {}
        whole = lowest(self._ordered_free, rest)
        left, cuts = whole.ties, {}
        for name in self.budget.free:
            mine = min(left, self._ties(name, whole.threshold)) if left else 0
            left -= mine
            cuts[name] = self._held(name, LayerCut(whole.threshold, mine))
        return cuts

    def _ties(self, name: str, threshold: np.float32) -> int:
        """Return how many weights that score exactly the threshold a layer may lose."""
        if name not in self.budget.capped:
            return int(np.count_nonzero(self.scores[name] == threshold))
        first, last = (int(np.searchsorted(self._open(name), threshold, side)) for side in SIDES)
        return last - first

    def requested(self, spec: PruneSpec) -> dict[str, float | None]:
        """Return the sparsity asked of each chosen layer, before zeros and caps; None where global scope or a threshold decides.

        Parameters
        ----------
        spec : PruneSpec
            The setting that was ranked, at any sparsity or threshold.
        """
        return self.budget.requested(spec)

    def limits(self, spec: PruneSpec) -> tuple[str, ...]:
        """Say in plain sentences what stands between a setting and its outcome.

        Parameters
        ----------
        spec : PruneSpec
            The setting that was ranked, at any sparsity or threshold.
        """
        if spec.threshold is None:
            return (*self.notes, *self.budget.limits(spec))
        cut = _below(spec.threshold)
        return (*self.notes, *self.budget.saved({name: cut.removed(self, name) for name in self.budget.capped}))


def _below(threshold: float) -> LayerCut:
    """Return the cut that removes what scores below a threshold."""
    return LayerCut(np.float32(threshold))


def masks_at(model: nn.Module, spec: PruneSpec, sparsities: Iterable[float], data: Any = None) -> Iterator[dict[str, Tensor]]:
    """Yield the masks of one setting at several sparsities; the model is scored once.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    spec : PruneSpec
        An unstructured setting; its own sparsity is ignored.
    sparsities : iterable of float
        Each at least 0 and below 1.
    data : Data or Split, optional
        For criteria that look at training data.

    Yields
    ------
    dict of str to BoolTensor
        Layer name to mask, True where a weight stays. Masks at a higher sparsity are subsets of those at a lower one, except that
        where counts are rounded to an exact total (scope ERK, and uniform with caps) a layer may lose one weight fewer.

    Raises
    ------
    PruningError
        If the mode is not unstructured, or a total is out of reach.
    """
    check_unstructured(spec)
    ranking = Ranking.of(model, spec, data)
    for sparsity in sparsities:
        yield ranking.masks(ranking.cut(sparsity))


def check_unstructured(spec: PruneSpec) -> None:
    """Raise unless a setting can be cut at any sparsity by masks."""
    if spec.mode == "nm":
        raise PruningError(
            f"the pattern {spec.pattern} has one sparsity, {spec.sparsity:g}: use prune(), or mode 'unstructured' for several"
        )
    if spec.mode != "unstructured":
        raise PruningError("masks exist for mode 'unstructured'; use plan() and shrink() for structured pruning")


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
