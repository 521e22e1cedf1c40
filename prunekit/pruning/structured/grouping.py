"""From one pass that was observed to the coupled groups of a model: which channels can be removed together, and which cannot."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from torch import nn

from prunekit.models.cost import costs
from prunekit.models.info import input_shape_of
from prunekit.models.inputs import form_for
from prunekit.models.layers import channel_layers
from prunekit.models.layers import weight_name as weight_in
from prunekit.models.state import Cache, likeness, remembered
from prunekit.pruning.structured.channel_groups import Bools, ChannelGraph, Group, kinds_of
from prunekit.pruning.structured.coupling_solver import Ids, Solution, components
from prunekit.pruning.structured.dry_run import rehearsed
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.pruning.structured.trace import observe
from prunekit.pruning.structured.trace_facts import Facts, couplings_of
from prunekit.tasks.noted import told


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


def trace(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> ChannelGraph:
    """Find which channels of a model are coupled; remembered for each model.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    input_shape : tuple of int, optional
        Shape of one sample; guessed when left out.

    Returns
    -------
    ChannelGraph
        Holds no tensors: plans at any sparsity are made from it.

    Raises
    ------
    PruningError, ModelError
        If the model cannot be run without values, or on this shape.
    """
    shape = form_for(model, input_shape or (None if told(model, "example") is not None else input_shape_of(model)))
    key = shape, likeness(model)
    return remembered(_traced, model, key, lambda: _found(model, shape))


_traced: Cache[ChannelGraph] = WeakKeyDictionary()


def forget() -> None:
    """Trace every model again when it is asked for next: the rules of operations have changed."""
    _traced.clear()


def _found(model: nn.Module, shape: tuple[int, ...]) -> ChannelGraph:
    """Observe, solve and name; then rehearse."""
    facts = observe(model, shape)

    return rehearsed(model, _solved(model, shape, facts), lambda graph, atoms, reason: _held(model, shape, facts, (graph, atoms), reason))


def _held(model: nn.Module, shape: tuple[int, ...], facts: Facts, units: tuple[ChannelGraph, Ids], reason: str) -> ChannelGraph:
    """Keep some units whole and solve again: with all that was one with them, though by way of an OR that is none any more."""
    graph, atoms = units
    facts.variables.freeze(np.flatnonzero(np.isin(graph.solution.label, atoms)), reason)
    return _solved(model, shape, facts)


def hold(model: nn.Module, graph: ChannelGraph, atoms: Ids, reason: str) -> ChannelGraph:
    """Return couplings in which some units stay, and let :func:`trace` return the same from now on."""
    variables = graph.facts.variables
    variables = replace(variables, ties=list(variables.ties), ors=list(variables.ors), frozen=list(variables.frozen))
    found = _held(model, graph.input_shape, replace(graph.facts, variables=variables), (graph, atoms), reason)
    known = _traced.get(model, {})
    known.update({key: found for key, value in known.items() if value is graph})
    return found


def _solved(model: nn.Module, shape: tuple[int, ...], facts: Facts) -> ChannelGraph:
    """Solve and name."""
    solution = facts.variables.solve()
    weights = {name: weight_in(model, name) for name in channel_layers(model)}
    weights = {name: weight for name, weight in weights.items() if (weight, 0) in facts.axes}
    layers = tuple(weights)
    incidence = {name: solution.atoms(solution.label[facts.made_by(weight)]) for name, weight in weights.items()}
    immovable = _immovable(facts, solution.loose, weights, incidence)
    limits = [
        f"operation '{op}' in {place} is not supported yet: the channels it touches stay whole" for op, place in facts.unknown.items()
    ]
    kinds = kinds_of(model, facts, solution)
    groups = _named(_groups(facts, solution, incidence, weights), kinds)
    groups = tuple(_bound(group, facts, solution) for group in groups)
    macs = dict(costs(model, shape))
    macs[""] = 2 * macs[""] - sum(macs.values())  # what no layer does
    blocks = _with_layers(facts.blocks, layers)
    return ChannelGraph(shape, facts, solution, layers, groups, incidence, immovable, tuple(limits), macs, weights, blocks)


def _bound(group: Group, facts: Facts, solution: Solution) -> Group:
    """Say how many units of a group have to stay, and of what their number has to be a multiple."""
    least, multiple = (
        [number for ids, number in told if np.isin(solution.label[ids], group.atoms).any()] for told in (facts.routes, facts.multiples)
    )
    return replace(group, least=max(least, default=1), multiple=math.lcm(*multiple)) if least or multiple else group


def _with_layers(blocks: tuple[Block, ...], layers: tuple[str, ...]) -> tuple[Block, ...]:
    """Return the blocks that hold layers, and which."""
    found = (replace(block, layers=tuple(name for name in layers if name.startswith(f"{block.name}."))) for block in blocks)
    return tuple(block for block in found if block.layers)


def _immovable(facts: Facts, loose: Ids, weights: dict[str, str], incidence: dict[str, tuple[Ids, Ids, Ids]]) -> dict[str, str]:
    """Return the layers without a removable output and why: the first reason met on their way to the frozen place."""
    stuck = [name for name in weights if incidence[name][0].size == 0]
    if not stuck:
        return {}
    # by the equalities without the frozen places: what freezes a class is then told apart from what else is frozen
    found: dict[str, str] = {}
    for further in (False, True):
        if len(found) == len(stuck):
            break
        classes, why = _along(facts, loose) if further else loose, dict[int, str]()
        for ids, reason in facts.variables.frozen:
            for label in np.unique(classes[ids]).tolist():
                why.setdefault(label, reason)
        for name in set(stuck) - found.keys():
            labels = np.unique(classes[facts.made_by(weights[name])]).tolist()
            found.update([(name, why[label].rstrip(",:")) for label in labels if label in why][:1])
    return {name: found.get(name, "its outputs are tied to something that cannot shrink") for name in stuck}


def _along(facts: Facts, loose: Ids) -> Ids:
    """Return the classes of equalities joined along axes that are taken apart or merged."""
    ors = [np.concatenate([np.zeros(0, np.int64), *(part[k] for part in facts.variables.ors)]) for k in range(3)]
    ends = [loose[np.concatenate(side)] for side in ((ors[0], ors[0]), (ors[1], ors[2]))]
    return components(facts.variables.count, *ends)[loose]


def _groups(facts: Facts, solution: Solution, incidence: dict[str, tuple[Ids, Ids, Ids]], weights: dict[str, str]) -> tuple[Group, ...]:
    """Join atoms that stand on one layer's output in one role, over all layers."""
    names_of = list(incidence)
    layer = np.repeat(np.arange(len(incidence)), np.array([atoms.size for _, atoms, _ in incidence.values()], dtype=np.int64))
    nothing = np.zeros(0, np.int64)
    atoms, roles = (np.concatenate([nothing, *(found[k] for found in incidence.values())]) for k in (1, 2))
    if facts.pieces:  # what stands in one role on one piece of an axis
        piece = np.zeros(facts.variables.count, np.int64)
        for number, ids in enumerate(sorted(facts.pieces, key=len, reverse=True), start=1):
            piece[solution.label[ids]] = number
        made = [piece[solution.label[facts.made_by(weights[name])]][positions] for name, (positions, _, _) in incidence.items()]
        roles = roles * (len(facts.pieces) + 1) + np.concatenate([nothing, *made])
    order = np.lexsort((atoms, roles, layer))
    same = (np.diff(layer[order]) == 0) & (np.diff(roles[order]) == 0)
    root = components(facts.variables.count, atoms[order][:-1][same], atoms[order][1:][same])
    order = np.lexsort((atoms, layer))
    _, first_of = np.unique(layer[order] * facts.variables.count + root[atoms[order]], return_index=True)
    layers: dict[int, dict[str, None]] = defaultdict(dict)
    for place in order[np.sort(first_of)].tolist():
        layers[int(root[atoms[place]])][names_of[layer[place]]] = None
    atoms = np.unique(atoms)
    couplings = couplings_of(facts, solution, root, weights)
    names: dict[str, int] = defaultdict(int)
    groups = []
    for least, found in layers.items():
        first = next(iter(found))
        names[first] += 1
        label = first if names[first] == 1 else f"{first} ({names[first]})"
        groups.append(Group(label, tuple(found), atoms[root[atoms] == least], couplings.get(least, ())))
    return tuple(groups)


def _named(groups: tuple[Group, ...], kinds: dict[int, str]) -> tuple[Group, ...]:
    """Say what the units of groups are, where they are no channels; key-value heads and query heads of one layer are told apart."""
    times: dict[tuple[str, str], int] = defaultdict(int)
    found = []
    for group in groups:
        kind, first = kinds.get(int(group.atoms[0])), group.layers[0]
        if kind is None:
            found.append(group)
            continue
        times[first, kind] += 1
        count = times[first, kind]
        found.append(replace(group, kind=kind, id=f"{first} ({kind}{f', {count}' if count > 1 else ''})"))
    return tuple(found)
