"""The coupled groups of a model as values: tensors and axes that lose channels together, and the channels removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunekit.pruning.structured.channel_groups import Bools, ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids


@dataclass(frozen=True, eq=False)
class Member:
    """One axis of one parameter or buffer that shrinks with a group.

    Attributes
    ----------
    tensor : str
        Its name in the state dict.
    axis : int
        The axis.
    positions, units : ndarray of int, shape [n]
        Element ``positions[i]`` of the axis goes with unit ``units[i]`` of the group.
    """

    tensor: str
    axis: int
    positions: Ids
    units: Ids


@dataclass(frozen=True, eq=False)
class CoupledGroup:
    """Channels that are chosen among each other, and all that goes with each of them.

    Attributes
    ----------
    id : str
        Name of its first layer, with the role where one layer has several.
    layers : tuple of str
        Layers whose outputs shrink together.
    kind : {"channels", "heads", "head dimensions", ...}
        What one unit is.
    size : int
        How many units there are.
    removed : tuple of int
        Those that went, from 0; empty for a model that was only looked at.
    reasons : tuple of str
        Operations in which the layers meet.
    members : tuple of Member
        Every axis that shrinks along: filters, norms, biases and the columns of what reads them.
    """

    id: str
    layers: tuple[str, ...]
    kind: str
    size: int
    removed: tuple[int, ...]
    reasons: tuple[str, ...]
    members: tuple[Member, ...]


def coupled(graph: ChannelGraph, gone: Bools | None = None) -> tuple[CoupledGroup, ...]:
    """Return the groups of couplings; ``gone`` says which classes were removed."""
    found: dict[str, list[Member]] = {group.id: [] for group in graph.groups}
    whose, place = np.full(graph.solution.label.size, -1), np.zeros(graph.solution.label.size, np.int64)
    for index, group in enumerate(graph.groups):
        whose[group.atoms], place[group.atoms] = index, np.arange(group.size)
    for name, axis in graph.facts.axes:
        positions, atoms, _ = graph.solution.atoms(graph.classes((name, axis)))
        for index in np.unique(whose[atoms][whose[atoms] >= 0]).tolist():
            mine = whose[atoms] == index
            found[graph.groups[index].id].append(Member(name, axis, positions[mine], place[atoms[mine]]))
    return tuple(_coupled_group(group, tuple(found[group.id]), gone) for group in graph.groups)


def _coupled_group(group: Group, members: tuple[Member, ...], gone: Bools | None) -> CoupledGroup:
    """Return one group."""
    removed = () if gone is None else tuple(np.flatnonzero(gone[group.atoms]).tolist())
    return CoupledGroup(group.id, group.layers, group.kind, group.size, removed, group.reasons, members)
