"""A removal in numbers: counts and shapes follow from which channels and blocks go, named or ranked, without touching a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import unknown_layers
from prunekit.models.shared_rows import TableCut
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Bools, ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.trace_facts import Axis


@dataclass(frozen=True, eq=False)
class Removal:
    """Channels and blocks to remove, with everything that follows from counting."""

    graph: ChannelGraph
    atoms: Ids
    blocks: tuple[str, ...] = field(default=(), kw_only=True)  # the residual blocks that go as a whole, by name
    rows: Mapping[str, TableCut] = field(default_factory=dict, kw_only=True)  # embedding tables by name -> which of their rows go

    @classmethod
    def leaving(cls, graph: ChannelGraph, kept: Mapping[str, Sequence[int]], rows: Mapping[str, TableCut] | None = None) -> Removal:
        """Return the removal that leaves certain outputs of each layer.

        ``kept``: layer -> original indices of the outputs that stay; what is not named stays whole. Of a block that went nothing stays.
        """
        blocks = tuple(block.name for block in graph.blocks if not any(len(kept.get(name, (0,))) for name in block.layers))
        there = {name: stay for name, stay in kept.items() if name in graph.outputs and not within(name, blocks)}
        classes = [np.delete(graph.outputs[name], np.asarray(stay, dtype=np.int64)) for name, stay in there.items()]
        atoms = np.unique(np.concatenate(classes)) if classes else np.zeros(0, dtype=np.int64)
        return Removal(graph, atoms, blocks=blocks, rows=rows or {})

    @property
    def empty(self) -> bool:
        """Whether nothing goes."""
        return not (self.atoms.size or self.blocks or self.rows)

    @cached_property
    def gone(self) -> Bools:
        """By class: whether it is removed."""
        return self.graph.solution.removed(self.atoms)

    @cached_property
    def masks(self) -> dict[Axis, Bools]:
        """(State name, axis) -> which elements stay, for every axis that loses some; of what stands in a block that goes, none."""
        masks = self.graph.kept(self.gone)
        if not self.blocks:
            return masks
        lost = [(name, axis) for name, axis in self.graph.facts.axes if within(name, self.blocks)]
        return {**masks, **{axis: np.zeros(self.graph.facts.axes[axis].size, dtype=np.bool_) for axis in lost}}

    @cached_property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Layer -> original indices of the outputs that stay, for every prunable layer."""
        outputs = self.graph.outputs.items()
        return {name: () if within(name, self.blocks) else tuple(np.flatnonzero(~self.gone[classes]).tolist()) for name, classes in outputs}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the new shape of a state entry; its first axis is empty where it stands in a block that goes."""
        shape = self.graph.meter.shape(name, self._counts)
        if name in self.by_weight:
            shape = (self.by_weight[name].rows, *shape[1:])
        return (0, *shape[1:]) if shape and within(name, self.blocks) else shape

    @cached_property
    def by_weight(self) -> dict[str, TableCut]:
        """State name of a table's weight -> which of its rows go."""
        return {self.graph.weights[name]: cut for name, cut in self.rows.items()}

    @cached_property
    def kept_rows(self) -> dict[str, tuple[int, ...]]:
        """Table -> the ids that keep a row of their own, for every table that loses rows."""
        return {name: cut.kept_ids for name, cut in self.rows.items()}

    @cached_property
    def _counts(self) -> Ids:
        """How many elements of each axis stay."""
        return self.graph.meter.kept(self.gone)

    @cached_property
    def layer_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Layer -> shape of its weight before and after."""
        return {name: (self.graph.meter.shape(weight), self.shape(weight)) for name, weight in self.graph.weights.items()}

    @property
    def shrunk(self) -> list[str]:
        """The layers whose weights become smaller."""
        return [name for name, (before, after) in self.layer_shapes.items() if before != after]

    def layer_macs(self) -> dict[str, int]:
        """Return each layer's MACs afterwards; under ``""`` those of all other products."""
        return self.graph.meter.macs(self._counts, self.blocks)

    def removed_macs(self) -> int:
        """Return how many MACs go, for one sample."""
        return sum(self.graph.macs.get(name, 0) - macs for name, macs in self.layer_macs().items())

    def removed_params(self, parameters: dict[str, tuple[int, ...]]) -> int:
        """Return how many parameters go."""
        lost = [name for name in parameters if within(name, self.blocks)] if self.blocks else []
        rest = parameters.keys() - set(lost) if lost else parameters
        rows = {name: cut for name, cut in self.by_weight.items() if name in rest}
        by_rows = sum((cut.keep.size - cut.rows) * math.prod(self.shape(name)[1:]) for name, cut in rows.items())
        whole = sum(math.prod(parameters[name]) for name in lost)
        return self.graph.meter.removed_params(self._counts, rest) + by_rows + whole


@dataclass(frozen=True, eq=False)
class Plan(Removal):
    """A removal, and the setting that it answers.

    Attributes
    ----------
    spec : PruneSpec
        The setting.
    groups : tuple of Group
        What was open to removal.
    requested : dict of str to float or None
        Group id to the sparsity asked of its layers, whose outputs may go by other groups too (None where the scope, a threshold or a
        target in parameters or MACs decides).
    unit : {"channels", "params", "macs", "bytes"}
        What the next three count.
    total : int
        Removable channels in the chosen groups, or parameters, MACs or bytes of the whole model.
    wanted : int or None
        Asked for; None under a threshold.
    removed : int
        What goes.
    limits : tuple of str
        What stood in the way, in plain sentences.
    """

    spec: PruneSpec
    groups: tuple[Group, ...]
    requested: dict[str, float | None]
    unit: str
    total: int
    wanted: int | None
    removed: int
    limits: tuple[str, ...]


def named_plan(graph: ChannelGraph, spec: PruneSpec) -> Plan:
    """Return the plan that removes the channels that a setting names."""
    unknown = [name for name, _ in spec.indices if name not in graph.outputs]
    if unknown:
        raise PruningError(unknown_layers(dict.fromkeys(unknown), graph.layers))
    atoms = np.unique(np.concatenate([np.zeros(0, np.int64), *(_atoms(graph, name, wanted) for name, wanted in spec.indices)]))
    groups = tuple(group for group in graph.groups if np.isin(group.atoms, atoms).any())
    plan = Plan(
        graph, atoms, spec, groups, dict.fromkeys(group.id for group in groups), "channels", sum(group.size for group in graph.groups),
        None, int(atoms.size), graph.limits,
    )  # fmt: skip
    emptied = [name for name, kept in plan.kept.items() if not kept]
    if emptied:
        raise PruningError(f"{', '.join(emptied)} would be emptied: leave at least one channel")
    for group in groups:
        going = int(np.isin(group.atoms, atoms).sum())
        if group.allowed(going) != going:
            raise PruningError(
                f"{going} of {group.size} {group.kind} of {group.id} cannot go: at least {group.least} stay, a multiple of {group.multiple}"
            )
    return plan


def _atoms(graph: ChannelGraph, layer: str, wanted: tuple[int, ...]) -> Ids:
    """Return the units that remove some outputs of a layer and no others."""
    size = graph.outputs[layer].size
    beyond = [index for index in wanted if index >= size]
    if beyond:
        raise PruningError(f"{layer} has {size} outputs (0 to {size - 1}), and no {', '.join(map(str, beyond))}")
    if layer in graph.immovable:
        raise PruningError(f"{layer} stays whole: {graph.immovable[layer]}")
    positions, atoms, _ = graph.incidence[layer]
    inside = np.isin(positions, wanted)
    going = np.setdiff1d(atoms[inside], atoms[~inside])
    left = sorted(set(wanted) - set(positions[np.isin(atoms, going)].tolist()))
    if left:
        partners = sorted({index for atom in atoms[np.isin(positions, left)] for index in positions[atoms == atom].tolist()} - set(wanted))
        why = f"they go together with {_few(partners)}: name these, too" if partners else "they are tied to something that cannot shrink"
        raise PruningError(f"outputs {_few(left)} of {layer} cannot go alone: {why}")
    return np.asarray(going, dtype=np.int64)


def _few(numbers: list[int]) -> str:
    """Return the first of some numbers."""
    return ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
