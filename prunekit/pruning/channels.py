"""Structured pruning: blocks chosen and channels scored once, cut at any target, and never a layer emptied."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from prunekit.anatomy import check_finite
from prunekit.criteria import scored_on
from prunekit.errors import PruningError
from prunekit.pruning.candidates import scored_groups, selected_groups
from prunekit.pruning.depth import choose_blocks
from prunekit.pruning.groups import ChannelGraph, Group
from prunekit.pruning.importance import Scores, atom_scores, reserved_atoms
from prunekit.pruning.overriding import Fixed, fixed_groups
from prunekit.pruning.removal import Plan
from prunekit.pruning.selection import chosen_layers, share_out
from prunekit.pruning.shortfall import UNITS, beyond, shortfall
from prunekit.pruning.solve import Ids
from prunekit.pruning.steps import Ladder, Stairs, ladder, roles_open
from prunekit.pruning.targets import TOLERANCE, Meter, solve
from prunekit.spec import NEEDS_DATA, PruneSpec


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
        Group id to a score for each of its atoms, relative to the mean of the layer and averaged over coupled layers.
    reserved : ndarray of int
        Atoms that never go: the best of every layer, so that no layer is emptied.
    limits : tuple of str
        Plain sentences on what stays whole and why.
    params, macs : int
        Of the whole dense model.
    shapes : dict of str to tuple
        Shape of every parameter of the dense model.
    blocks : tuple of str
        Residual blocks that go as a whole.
    block_scores : dict of str to float
        Score of each block that may go; empty where the setting's depth is 0.
    inside : int
        Removable channels of the chosen groups that go with the blocks.
    """

    graph: ChannelGraph
    spec: PruneSpec
    groups: tuple[Group, ...]
    scores: dict[str, Scores]
    reserved: Ids
    limits: tuple[str, ...]
    params: int
    macs: int
    shapes: dict[str, tuple[int, ...]]
    blocks: tuple[str, ...] = ()
    block_scores: dict[str, float] = field(default_factory=dict)
    inside: int = 0

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, graph: ChannelGraph, data: Any = None) -> ChannelRanking:
        """Score the channels that ``spec`` chooses.

        Parameters
        ----------
        model : nn.Module
            The dense model; not modified.
        spec : PruneSpec
            A structured setting.
        graph : ChannelGraph
            The model's couplings.
        data : Data, optional
            For criteria that look at training data.

        Raises
        ------
        PruningError
            If nothing can be removed; the message says why for each chosen layer.
        DataError
            If the criterion needs data and there are none.
        """
        chosen = chosen_layers(model, spec)
        check_finite(model, chosen)
        depth = choose_blocks(model, spec, graph, data)
        groups, lost, limits = selected_groups(graph, chosen, depth.blocks, spec.units)
        by_atom = atom_scores(model, spec, graph, groups, data, depth.blocks)
        groups, limits = scored_groups(groups, by_atom, limits, depth.blocks)
        names = list(dict.fromkeys(name for group in groups for name in group.layers))
        note = scored_on(data, spec.samples) if spec.criterion in NEEDS_DATA else None
        return cls(
            graph,
            spec,
            groups,
            {group.id: np.array([by_atom[a] for a in group.atoms.tolist()]) for group in groups},
            reserved_atoms(graph, names, by_atom),
            (*limits, *depth.limits, *([] if note is None else [note])),
            sum(p.numel() for p in model.parameters()),
            sum(graph.macs.values()),
            {name: tuple(p.shape) for name, p in model.named_parameters()},
            depth.blocks,
            depth.scores or {},
            sum(group.size for group in lost),
        )

    @cached_property
    def _fixed(self) -> dict[str, Fixed]:
        """Group id -> what overrides make of it."""
        return fixed_groups(self)

    @cached_property
    def open_to(self) -> Ids:
        """Atoms of all groups."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(group.atoms for group in self.groups)])

    @cached_property
    def ladders(self) -> dict[str, Ladder]:
        """Group id -> what caps and the channel multiple leave open."""
        given = self.graph, self.spec
        return {g.id: ladder(*given, g, self.scores[g.id], self.reserved, open_to=self.open_to) for g in self.groups}

    @cached_property
    def stairs(self) -> Stairs:
        """The groups without an override, in the order in which they give."""
        return Stairs.of(tuple(found for name, found in self.ladders.items() if name not in self._fixed), self.spec.scope)

    @cached_property
    def meter(self) -> Meter:
        """What the target counts."""
        unit = self.spec.target or "channels"
        channels = sum(group.size for group in self.groups) + self.inside
        total = {"channels": channels, "params": self.params, "macs": self.macs}[unit]
        return Meter(self.graph, unit, total, self.shapes, self.blocks, self.inside)

    @cached_property
    def by_blocks(self) -> int:
        """What goes with whole blocks alone, in the target's unit."""
        return self.meter.removed(np.empty(0, dtype=np.int64)) if self.blocks else 0

    @cached_property
    def by_fixed(self) -> int:
        """What goes with whole blocks and overrides, in the target's unit."""
        atoms, _ = self.overridden()
        return self.meter.removed(atoms) if atoms.size or self.blocks else 0

    def cut(self, sparsity: float | None = None) -> Plan:
        """Choose the channels that go.

        Parameters
        ----------
        sparsity : float, optional
            Share of what the setting's target counts; the spec's own cut when left out.

        Returns
        -------
        Plan
            Never empties a layer: what prevents the asked-for share is named in its ``limits``.

        Raises
        ------
        PruningError
            If overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        fixed, limits = self.overridden()
        if spec.threshold is not None:
            return self._below(spec, spec.threshold, fixed, limits)
        assert spec.sparsity is not None
        wanted = round(spec.sparsity * self.meter.total)
        rest = self._left(wanted)
        if spec.scope == "uniform" and self.plain:
            return self._evenly(spec, wanted, rest, fixed, limits)
        levels = solve(self.stairs, lambda now: self.taken(now, fixed), wanted, 0 if self.plain else self.meter.total)
        atoms = np.concatenate([fixed, self.stairs.gone(levels)])
        return self._plan(spec, {}, atoms, wanted, (*limits, *shortfall(self, spec, wanted, atoms)))

    @property
    def plain(self) -> bool:
        """Whether channels are counted one by one, with nothing that stands in the way of an exact count."""
        return self.spec.target == "channels" and self.spec.round_to == 1 and not self.spec.capped

    def overridden(self) -> tuple[Ids, list[str]]:
        """Return the atoms that overrides remove, and sentences on what rounding made of them."""
        atoms = np.concatenate([np.empty(0, dtype=np.int64), *(fixed.atoms for fixed in self._fixed.values())])
        return atoms, [*self.limits, *(fixed.limit for fixed in self._fixed.values() if fixed.limit)]

    def _left(self, wanted: int) -> int:
        """Return what the free groups have to give in channels; raise if overrides put the total out of reach."""
        if self.blocks and self.by_fixed > wanted:
            return 0  # said by beyond()
        if self.meter.unit == "channels":
            sizes, taken = {"": self.inside}, {"": self.inside}  # by no group: what goes with the blocks
            sizes |= {group.id: group.size for group in self.groups}
            taken |= {name: int(fixed.atoms.size) for name, fixed in self._fixed.items()}
            return share_out(wanted, sizes, taken, "channels")
        if self.by_fixed > wanted + TOLERANCE * self.meter.total:
            share, word = self.by_fixed / self.meter.total, UNITS[self.meter.unit]
            raise PruningError(
                f"the overrides alone remove {share:.1%} of the {word}, more than the {wanted / self.meter.total:.1%} asked for: "
                f"raise the sparsity to at least {share:.4f} or lower one"
            )
        return 0

    def _evenly(self, spec: PruneSpec, wanted: int, rest: int, fixed: Ids, limits: list[str]) -> Plan:
        """Take the same share of every free group, each rounded by itself."""
        assert spec.sparsity is not None
        free = self.stairs.ladders
        share = rest / max(sum(steps.group.size for steps in free), 1) if self._fixed or self.blocks else spec.sparsity
        counts = {steps.group.id: round(share * steps.group.size) for steps in free}
        emptied = [
            f"{steps.group.id} would have been emptied: its best channel stays" for steps in free if counts[steps.group.id] > steps.top
        ]
        picked = [steps.order[: counts[steps.group.id]] for steps in free]
        asked = {steps.group.id: 1 - (1 - share) ** self._ways[steps.group.id] for steps in free}
        return self._plan(spec, asked, np.concatenate([fixed, *picked]), wanted, (*limits, *emptied))

    @cached_property
    def _ways(self) -> dict[str, int]:
        """Group id -> in how many ways an output of its layers can go: the same share of each way takes more than that of the layer."""
        return {g.id: max(roles_open(self.graph, g, name, self.open_to) for name in g.layers) for g in self.groups}

    def _below(self, spec: PruneSpec, threshold: float, fixed: Ids, limits: list[str]) -> Plan:
        """Take what scores below a threshold, as far as caps and multiples allow."""
        picked = [fixed]
        for steps in self.stairs.ladders:
            below = int((self.scores[steps.group.id] < threshold).sum())
            if below > steps.order.size and not spec.capped:
                limits.append(f"{steps.group.id} would have been emptied: its best channel stays")
            elif below > steps.levels[-1] and spec.capped:
                limits.append(f"{steps.group.id} has {below} channels below the threshold and loses {steps.levels[-1]}: its cap holds it")
            picked.append(steps.gone(steps.below(threshold)))
        return self._plan(spec, {}, np.concatenate(picked), None, tuple(limits))

    def _plan(self, spec: PruneSpec, asked: dict[str, float], atoms: Ids, wanted: int | None, limits: tuple[str, ...]) -> Plan:
        """Put a plan together."""
        requested = {g.id: self._fixed[g.id].share if g.id in self._fixed else asked.get(g.id) for g in self.groups}
        unit, removed = self.meter.unit, self.meter.removed(atoms)
        limits = (*limits, *beyond(self, wanted))
        return Plan(self.graph, atoms, spec, self.groups, requested, unit, self.meter.total, wanted, removed, limits, blocks=self.blocks)

    def taken(self, levels: Ids, fixed: Ids) -> int:
        """Return how much goes at some levels of the stairs, overrides included, in the target's unit."""
        return self.meter.removed(np.concatenate([fixed, self.stairs.gone(levels)]))


def plan(graph: ChannelGraph, model: nn.Module, spec: PruneSpec, data: Any = None) -> Plan:
    """Choose the channels that a structured setting removes.

    Parameters
    ----------
    graph : ChannelGraph
        From :func:`prunekit.pruning.trace`.
    model : nn.Module
        The dense model; scored, not modified.
    spec : PruneSpec
        A structured setting.
    data : Data, optional
        For criteria that look at training data.

    Returns
    -------
    Plan
        Shapes and counts; hand it to :func:`prunekit.pruning.shrink`.
    """
    return ChannelRanking.of(model, spec, graph, data).cut()
