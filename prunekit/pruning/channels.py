"""Structured pruning: channels scored once, cut at any sparsity, and never a layer emptied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.anatomy import check_finite
from prunekit.criteria import channel_scores
from prunekit.errors import PruningError
from prunekit.pruning.groups import Bools, ChannelGraph, Group
from prunekit.pruning.removal import Plan
from prunekit.pruning.selection import chosen_layers, share_out
from prunekit.pruning.solve import Ids
from prunekit.spec import PruneSpec

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChannelRanking:
    """The removable channels of the chosen layers, scored once.

    Attributes
    ----------
    graph : ChannelGraph
        The model's couplings.
    spec : PruneSpec
        The setting that was ranked.
    groups : tuple of Group
        Groups all of whose layers are chosen.
    scores : dict of str to ndarray
        Group id to a score for each of its atoms: the norm relative to the mean norm of the layer, averaged over coupled layers.
    reserved : ndarray of int
        Atoms that never go: the best of every layer, so that no layer is emptied.
    limits : tuple of str
        Plain sentences on what stays whole and why.
    """

    graph: ChannelGraph
    spec: PruneSpec
    groups: tuple[Group, ...]
    scores: dict[str, Scores]
    reserved: Ids
    limits: tuple[str, ...]

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, graph: ChannelGraph) -> ChannelRanking:
        """Score the channels that ``spec`` chooses.

        Raises
        ------
        PruningError
            If nothing can be removed; the message says why for each chosen layer.
        """
        chosen = chosen_layers(model, spec)
        check_finite(model, chosen)
        groups, limits = _selected(graph, chosen)
        names = list(dict.fromkeys(name for group in groups for name in group.layers))
        by_atom = _atom_scores(graph, channel_scores(model, names, spec.criterion, spec.seed), spec.criterion == "random")
        scores = {group.id: np.array([by_atom[a] for a in group.atoms.tolist()]) for group in groups}
        return cls(graph, spec, groups, scores, _reserved(graph, names, by_atom), limits)

    @cached_property
    def _fixed(self) -> dict[str, float]:
        """Group id -> sparsity that an override sets."""
        found: dict[str, tuple[str, float]] = {}
        for layer, share in self.spec.overrides:
            hits = [group for group in self.groups if layer in group.layers]
            if not hits:
                reason = self.graph.immovable.get(layer) or "; ".join(s for s in self.limits if s.startswith(layer)) or "it cannot shrink"
                raise PruningError(f"the override of {layer} cannot be honoured: {reason}")
            for group in hits:
                other = found.get(group.id)
                if other is not None and other[1] != share:
                    raise PruningError(
                        f"{other[0]} and {layer} shrink together: give them the same override, not {other[1]:g} and {share:g}"
                    )
                found[group.id] = (layer, share)
        return {group: share for group, (_, share) in found.items()}

    def _removable(self, group: Group) -> Bools:
        """Return which atoms of a group may go."""
        return ~np.isin(group.atoms, self.reserved)

    def cut(self, sparsity: float | None = None) -> Plan:
        """Choose the channels that go.

        Parameters
        ----------
        sparsity : float, optional
            Share of all removable channels of the chosen layers; the spec's own cut when left out.

        Returns
        -------
        Plan
            Never empties a layer: what prevents the asked-for count is named in its ``limits``.

        Raises
        ------
        PruningError
            If overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        sizes = {group.id: group.size for group in self.groups}
        fixed = {name: round(share * sizes[name]) for name, share in self._fixed.items()}
        free = [group for group in self.groups if group.id not in fixed]
        requested: dict[str, float | None] = {name: self._fixed.get(name) for name in sizes}
        marked = {group.id: self._lowest(group, fixed[group.id]) for group in self.groups if group.id in fixed}
        wanted = None
        if spec.threshold is not None:
            marked |= {group.id: self.scores[group.id] < spec.threshold for group in free}
        else:
            assert spec.sparsity is not None
            wanted = round(spec.sparsity * sum(sizes.values()))
            rest = share_out(wanted, sizes, fixed, "channels")
            if spec.scope == "global":
                marked |= self._global(free, rest)
            else:
                share = rest / max(sum(group.size for group in free), 1) if fixed else spec.sparsity
                requested |= {group.id: share for group in free}
                marked |= {group.id: self._lowest(group, round(share * group.size)) for group in free}
        return self._plan(spec, requested, marked, wanted)

    def _plan(self, spec: PruneSpec, requested: dict[str, float | None], marked: dict[str, Bools], wanted: int | None) -> Plan:
        """Take the reserved channels out of what is marked, and say where that made a difference."""
        limits, picked = list(self.limits), []
        for group in self.groups:
            going = marked[group.id] & self._removable(group)
            if going.sum() < marked[group.id].sum():
                limits.append(f"{group.id} would have been emptied: its best channel stays")
            picked.append(group.atoms[going])
        atoms = np.concatenate(picked)
        total = sum(group.size for group in self.groups)
        if wanted is not None and spec.scope == "global" and atoms.size < wanted:
            limits.append(f"{wanted:,} of {total:,} channels were asked for, {atoms.size:,} can go: every layer keeps at least one channel")
        return Plan(self.graph, spec, self.groups, requested, atoms, total, wanted, tuple(limits))

    def _lowest(self, group: Group, count: int) -> Bools:
        """Mark the ``count`` lowest-scoring atoms of a group, reserved ones last; ties are broken by index."""
        mark = np.zeros(group.size, dtype=np.bool_)
        mark[np.lexsort((self.scores[group.id], ~self._removable(group)))[:count]] = True
        return mark

    def _global(self, free: list[Group], count: int) -> dict[str, Bools]:
        """Mark the ``count`` lowest-scoring removable atoms of all free groups together; ties are broken by group, then by index."""
        if not free:
            return {}
        scores = np.concatenate([self.scores[group.id] for group in free])
        removable = np.flatnonzero(np.concatenate([self._removable(group) for group in free]))
        mark = np.zeros(scores.size, dtype=np.bool_)
        mark[removable[np.argsort(scores[removable], kind="stable")[:count]]] = True
        ends = np.cumsum([group.size for group in free])[:-1]
        return {group.id: part for group, part in zip(free, np.split(mark, ends), strict=True)}


def _selected(graph: ChannelGraph, chosen: tuple[str, ...]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups whose layers are all chosen, and sentences on the chosen layers that stay whole."""
    groups = tuple(group for group in graph.groups if set(group.layers) <= set(chosen))
    served = {name for group in groups for name in group.layers}
    limits = list(graph.limits)
    for name in chosen:
        if name in served:
            continue
        partners = [other for group in graph.groups if name in group.layers for other in group.layers if other not in chosen]
        if name in graph.immovable:
            limits.append(f"{name} stays whole: {graph.immovable[name]}")
        elif partners:
            others = list(dict.fromkeys(partners))
            limits.append(
                f"{name} stays whole: it shrinks together with {', '.join(others)}, which {'are' if others[1:] else 'is'} not chosen"
            )
        else:
            limits.append(f"{name} stays whole: it has no channel that can go")
    if not groups:
        raise PruningError("nothing can be removed. " + "; ".join(limits) + ". Choose other layers, or mode unstructured")
    return groups, tuple(limits)


def _atom_scores(graph: ChannelGraph, scores: dict[str, Scores], first_only: bool) -> dict[int, float]:
    """Average, over the coupled layers, each atom's score relative to its layer's mean."""
    total: dict[int, float] = {}
    times: dict[int, int] = {}
    for name, raw in scores.items():
        positions, atoms, _ = graph.incidence[name]
        mean = float(raw.mean())
        relative = raw / mean if mean > 0 else np.ones_like(raw)
        unique, inverse = np.unique(atoms, return_inverse=True)
        values = np.bincount(inverse, relative[positions]) / np.bincount(inverse)
        for atom, value in zip(unique.tolist(), values.tolist(), strict=True):
            if first_only and atom in total:
                continue  # the mean of independent noise would crowd around one in large groups
            total[atom], times[atom] = total.get(atom, 0.0) + value, times.get(atom, 0) + 1
    return {atom: total[atom] / times[atom] for atom in total}


def _reserved(graph: ChannelGraph, names: list[str], scores: dict[int, float]) -> Ids:
    """Return the best atom of every layer and role (the last one by index among equals)."""
    best = set()
    for name in names:
        _, atoms, roles = graph.incidence[name]
        fully_removable = np.isin(np.arange(graph.outputs[name].size), graph.incidence[name][0]).all()
        for role in np.unique(roles).tolist():
            mine = np.unique(atoms[roles == role])
            if fully_removable:
                values = np.array([scores.get(a, math.inf) for a in mine.tolist()])
                best.add(int(mine[np.flatnonzero(values == values.max())[-1]]))
    return np.array(sorted(best), dtype=np.int64)


def plan(graph: ChannelGraph, model: nn.Module, spec: PruneSpec) -> Plan:
    """Choose the channels that a structured setting removes.

    Parameters
    ----------
    graph : ChannelGraph
        From :func:`prunekit.pruning.trace`.
    model : nn.Module
        The dense model; scored, not modified.
    spec : PruneSpec
        A structured setting.

    Returns
    -------
    Plan
        Shapes and counts; hand it to :func:`prunekit.pruning.shrink`.
    """
    return ChannelRanking.of(model, spec, graph).cut()
