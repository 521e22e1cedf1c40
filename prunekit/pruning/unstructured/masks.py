"""Unstructured pruning: scored once, cut at any sparsity, to the exact count.

A cut is described by a threshold for each layer and a number of ties: every weight that scores below the threshold goes, and of those that
score exactly the threshold the first ones by index. Masks are made from it when they are needed, counts without making masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import copied
from prunekit.pruning.layer_selection import joint_shares
from prunekit.pruning.unstructured.allocation import Budget, Counts
from prunekit.pruning.unstructured.cut_rules import Cut, LayerCut, RowCut, ScoredWeights
from prunekit.pruning.unstructured.sorted_scores import LARGE, SAMPLE, SEED, Flat, Order, guess, within

__all__ = ["Cut", "LayerCut", "Ranking", "masked_copy", "masks_at"]


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
        As in :class:`~prunekit.pruning.unstructured.cut_rules.ScoredWeights`.
    """

    @cached_property
    def budget(self) -> Budget:
        """How many weights each layer has to give."""
        return Budget(self.spec, self.shapes, self.zeros, self._joint)

    @cached_property
    def _joint(self) -> Counts:
        """How many weights go from each layer that has its part of a joint share."""
        found: Counts = {}
        bounds = Budget(self.spec, self.shapes, self.zeros)
        for each in joint_shares(self.spec, self.shapes):
            names = [name for name in self.shapes if name in each.within]
            if self.spec.scope != "global":
                found |= {name: round(each.share * self.sizes[name]) for name in names}
                continue
            orders = {name: self.order(name).first(bounds.most[name]) for name in names}
            wanted = round(each.share * sum(self.sizes[name] for name in names))
            threshold, left = Order.together(orders.values()).lowest(min(wanted, sum(order.size for order in orders.values())))
            for name, order in orders.items():
                ties = min(left, order.equal(threshold)) if left else 0
                left -= ties
                found[name] = order.left(threshold) + ties
        return found

    @cached_property
    def _together(self) -> Order:
        """The order of what the free layers may lose, all together.

        A layer's weights beyond its cap are out of the race: the others make up the total by themselves.
        """
        if self._stretches:
            return Order.together(self._stretches.values())
        free, capped = self.budget.free, self.budget.capped
        values = np.concatenate([self._may_lose(name, self.order(name)).values if name in capped else self.scores[name] for name in free])
        values.sort()
        return Order(values, 0, values.size)

    @cached_property
    def _stretches(self) -> dict[str, Order]:
        """The stretch of each free layer's order in which the one cut lies; empty where all scores are put in order."""
        free = self.budget.free
        total = sum(self.sizes[name] for name in free)
        if not self.once or total <= LARGE:
            return {}
        rest, sample = self.budget.rest(self.spec), self._sample(total)
        for reach in (1.0, 16.0):  # caps may bend what the sample tells
            bounds = guess(sample, rest / total, reach)
            found = {name: self._within(name, *bounds) for name in free}
            if Order.together(found.values()).holds(rest):
                return found
        return {}

    def _within(self, name: str, low: np.float32, high: np.float32) -> Order:
        """Return a stretch of the order of what a layer may lose."""
        return self._may_lose(name, within(self.pieces(name), low, high))

    def _may_lose(self, name: str, order: Order) -> Order:
        """Return the order of what a layer may lose."""
        return order.first(self.budget.most[name]) if name in self.budget.capped else order

    def _sample(self, total: int) -> Flat:
        """Return scores drawn from the free layers in proportion to their size, in ascending order."""
        noise, found = np.random.default_rng(SEED), []
        for name in self.budget.free:
            for part in self.pieces(name):
                found.append(part[noise.integers(0, part.size, max(round(SAMPLE * part.size / total), 1))])
        return np.sort(np.concatenate(found))

    def cut(self, sparsity: float | None = None) -> Cut:
        """Return the cut at a sparsity.

        Parameters
        ----------
        sparsity : float, optional
            Share of all chosen weights to remove; the spec's own sparsity or threshold when left out.

        Returns
        -------
        mapping of str to LayerCut or RowCut
            For each chosen layer. Exactly ``round(sparsity * n)`` weights go in all (scopes global, ERK) or of each layer (uniform, row).
            Where a layer holds more zeros than its share or is held by its cap, the others make up the total; where that is out of
            reach, it goes as far as the bounds allow and :meth:`limits` says so.

        Raises
        ------
        PruningError
            If the overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        if spec.scope == "row":
            return self._by_row(spec)
        if spec.threshold is not None:
            cuts = {name: self._held(name, _below(spec.threshold)) for name in self.budget.free}
        elif spec.scope == "global":
            cuts = self._global_cut(self.budget.rest(spec))
        else:
            cuts = self._lowest(self.budget.counts(spec))
        cuts |= self._lowest(self.budget.fixed)
        return {name: cuts[name] for name in self.shapes}

    def _by_row(self, spec: PruneSpec) -> dict[str, RowCut]:
        """Return the cuts that remove as many weights from every output of a layer."""
        counts = self.budget.counts(spec) | self.budget.fixed
        return {name: RowCut(counts[name], self.input_axes.get(name, 1)) for name in self.shapes}

    def _lowest(self, counts: Counts) -> dict[str, LayerCut]:
        """Return the cuts that remove some number of weights from each layer."""
        return {name: LayerCut(*self.order(name).lowest(count)) for name, count in counts.items()}

    def _held(self, name: str, cut: LayerCut) -> LayerCut:
        """Return a layer's cut, or the one that stops at its cap."""
        if name not in self.budget.capped:
            return cut
        order, most = self.order(name), self.budget.most[name]
        return LayerCut(*order.lowest(most)) if order.left(cut.threshold) + cut.ties > most else cut

    def _global_cut(self, rest: int) -> dict[str, LayerCut]:
        """Rank all free layers together; ties are broken by layer, then by index."""
        if not self.budget.free:
            return {}
        threshold, left = self._together.lowest(rest)
        cuts = {}
        for name in self.budget.free:
            mine = min(left, self._ties(name, threshold)) if left else 0
            left -= mine
            cuts[name] = self._held(name, LayerCut(threshold, mine))
        return cuts

    def _ties(self, name: str, threshold: np.float32) -> int:
        """Return how many weights that score exactly the threshold a layer may lose."""
        if name in self._stretches:
            return self._stretches[name].equal(threshold)
        if name in self.budget.capped:
            return self._may_lose(name, self.order(name)).equal(threshold)
        return int(np.count_nonzero(self.scores[name] == threshold))

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
    memo: dict[int, object] = {}  # what is masked is not copied first
    with torch.no_grad():
        for name, mask in masks.items():
            weight = model.get_parameter(weight_name(model, name))
            dense = memo.get(id(weight), weight)  # a weight of two layers is masked for both
            assert isinstance(dense, Tensor)
            new = torch.where(mask.to(weight.device), dense, torch.zeros((), dtype=weight.dtype, device=weight.device))
            memo[id(weight)] = nn.Parameter(new, requires_grad=weight.requires_grad)
    return copied(model, memo)


def mask_in_place(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Set the removed weights of a model itself to zero, and return it."""
    with torch.no_grad():
        for name, mask in masks.items():
            weight = model.get_parameter(weight_name(model, name))
            weight.masked_fill_(~mask.to(weight.device), 0)
    return model
