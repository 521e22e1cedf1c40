"""The removable channels of the chosen layers, scored once, and how many of each group caps and multiples leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.criteria.samples import scored_on
from prunekit.errors import PruningError
from prunekit.models.layers import check_finite
from prunekit.models.shared_rows import TableCut
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.channel_schedule import Ladder, ladder
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.depth import choose_blocks, without
from prunekit.pruning.structured.embedding_rows import choose_rows
from prunekit.pruning.structured.importance import Scores, atom_scores, reserved_atoms
from prunekit.pruning.structured.target_search import Meter

Limits = tuple[str, ...]


def scored_groups(
    groups: tuple[Group, ...], scores: dict[int, float], limits: Limits, *, besides: bool = False
) -> tuple[tuple[Group, ...], Limits]:
    """Leave out the groups that the criterion tells nothing about, and say so; an error where neither these nor ``besides`` go."""
    known = tuple(group for group in groups if all(atom in scores for atom in group.atoms.tolist()))
    told = [
        f"{group.id} stays whole: no BatchNorm follows it, so that bn_scale has nothing to score it by"
        for group in groups
        if group not in known
    ]
    if groups and not known and not besides:
        raise PruningError("nothing can be removed. " + "; ".join((*limits, *told)) + ". Choose criterion l1 or l2")
    return known, (*limits, *told)


def selected_groups(
    graph: ChannelGraph, chosen: tuple[str, ...], blocks: tuple[str, ...] = (), units: tuple[str, ...] | None = None, *,
    besides: bool = False,
) -> tuple[tuple[Group, ...], tuple[Group, ...], Limits]:  # fmt: skip
    """Return the groups whose layers are all chosen, those of them that go with whole blocks, and why chosen layers stay whole.

    ``units``: kinds of groups that may go; None for all.
    """
    left, lost = without(graph, blocks)
    offered, lost = (tuple(group for group in found if set(group.layers) <= set(chosen)) for found in (left, lost))
    groups, lost = (tuple(group for group in found if units is None or group.kind in units) for found in (offered, lost))
    withheld = tuple(group for group in offered if group not in groups)
    served = {name for group in offered for name in group.layers}
    limits = [*graph.limits, *_withheld(withheld)]
    for name in chosen:
        if name in served or within(name, blocks):
            continue
        partners = [other for group in left if name in group.layers for other in group.layers if other not in chosen]
        if name in graph.immovable:
            limits.append(f"{name} stays whole: {graph.immovable[name]}")
        elif partners:
            others = list(dict.fromkeys(partners))
            limits.append(
                f"{name} stays whole: it shrinks together with {', '.join(others)}, which {'are' if others[1:] else 'is'} not chosen"
            )
        else:
            limits.append(f"{name} stays whole: it has no channel that can go")
    if not groups and not besides:
        advice = "other units, other layers" if withheld else "other layers"
        raise PruningError(f"nothing can be removed. {'; '.join(limits)}. Choose {advice}, or mode unstructured")
    return groups, lost, tuple(limits)


def _withheld(groups: tuple[Group, ...]) -> Limits:
    """Say which kinds of units the setting leaves whole, one sentence for each kind."""
    kinds: dict[str, list[str]] = {}
    for group in groups:
        kinds.setdefault(group.kind, []).append(group.layers[0])
    return tuple(
        f"all {kind} of {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} stay: the setting's units leave them out"
        for kind, names in kinds.items()
    )


@dataclass(frozen=True, eq=False)
class ScoredGroups:
    """The removable channels of the chosen layers, scored once."""

    graph: ChannelGraph
    spec: PruneSpec
    groups: tuple[Group, ...]  # groups all of whose layers are chosen
    # group id to a score for each of its atoms, relative to the mean of the layer and averaged over coupled layers
    scores: dict[str, Scores]
    reserved: Ids  # atoms that never go: the best of every layer, so that no layer is emptied
    limits: tuple[str, ...]  # plain sentences on what stays whole and why
    params: int  # params, macs: of the whole dense model
    macs: int
    shapes: dict[str, tuple[int, ...]]  # shape of every parameter of the dense model
    blocks: tuple[str, ...] = ()  # residual blocks that go as a whole
    block_scores: dict[str, float] = field(default_factory=dict)  # score of each block that may go; empty where the setting's depth is 0
    inside: int = 0  # removable channels of the chosen groups that go with the blocks
    classes: dict[str, str] = field(default_factory=dict)  # module name -> its class, for all modules
    widths: dict[str, int] = field(default_factory=dict)  # bytes of an element of every parameter
    rows: dict[str, TableCut] = field(default_factory=dict)  # embedding tables -> which of their rows go

    @classmethod
    def of(cls, model: nn.Module, spec: PruneSpec, graph: ChannelGraph, data: Any = None) -> Self:
        """Score the channels that ``spec`` chooses."""
        if spec.indices:
            raise PruningError("channels that are named have no order and no other sparsity: call prune(), or leave the indices out")
        chosen = chosen_layers(model, spec, graph.immovable)
        check_finite(model, chosen)
        depth, table_rows = choose_blocks(model, spec, graph, data), choose_rows(model, spec, graph, data)
        besides = bool(depth.blocks or table_rows.rows)
        groups, lost, limits = selected_groups(graph, chosen, depth.blocks, spec.units, besides=besides)
        by_atom = atom_scores(model, spec, graph, groups, data, depth.blocks)
        groups, limits = scored_groups(groups, by_atom, limits, besides=besides)
        names = list(dict.fromkeys(name for group in groups for name in group.layers))
        note = scored_on(data, spec.samples) if spec.looks_at_data else None
        return cls(
            graph,
            spec,
            groups,
            {group.id: np.array([by_atom[a] for a in group.atoms.tolist()]) for group in groups},
            reserved_atoms(graph, names, by_atom),
            (*limits, *depth.limits, *table_rows.limits, *([] if note is None else [note])),
            sum(p.numel() for p in model.parameters()),
            sum(graph.macs.values()),
            {name: tuple(p.shape) for name, p in model.named_parameters()},
            depth.blocks,
            depth.scores or {},
            sum(group.size for group in lost),
            {name: type(module).__name__ for name, module in model.named_modules()},
            {name: p.element_size() for name, p in model.named_parameters()},
            table_rows.rows,
        )

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
    def forms(self) -> dict[str, tuple[str, ...]]:
        """Group id -> how it is built: its kind, and the class and axis of everything that its channels stand on."""
        found: dict[str, list[str]] = {group.id: [group.kind] for group in self.groups}
        whose = np.full(self.graph.solution.label.size, -1)
        for index, group in enumerate(self.groups):
            whose[group.atoms] = index
        for name, axis in self.graph.facts.axes:
            _, atoms, _ = self.graph.solution.atoms(self.graph.classes((name, axis)))
            path, _, attribute = name.rpartition(".")
            for index in np.unique(whose[atoms]).tolist():
                if index >= 0:
                    found[self.groups[index].id].append(f"{self.classes.get(path, '')}.{attribute} {axis}")
        return {name: tuple(sorted(parts)) for name, parts in found.items()}

    @cached_property
    def meter(self) -> Meter:
        """What the target counts."""
        unit = self.spec.target or "channels"
        channels = sum(group.size for group in self.groups) + self.inside
        whole = sum(math.prod(shape) * self.widths[name] for name, shape in self.shapes.items())
        total = {"channels": channels, "params": self.params, "macs": self.macs, "bytes": whole}[unit]
        return Meter(self.graph, unit, total, self.shapes, self.blocks, self.inside, self.widths, self.rows)

    @property
    def plain(self) -> bool:
        """Whether channels are counted one by one, with nothing that stands in the way of an exact count."""
        return (
            self.spec.target == "channels"
            and self.spec.round_to == 1
            and not self.spec.capped
            and all(group.multiple == 1 for group in self.groups)
        )
