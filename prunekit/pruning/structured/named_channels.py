"""The removal of channels that are named themselves, by layer and index, with everything that is coupled to them."""

from __future__ import annotations

import numpy as np

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import unknown_layers
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.plan import Plan


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
