"""What can be removed: atoms, coupled groups of them, and what every removal does to the shape of every parameter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.anatomy import channel_layers, input_shape_of
from prunekit.anatomy.cost import costs
from prunekit.anatomy.layers import weight_name as weight_in
from prunekit.anatomy.likeness import Cache, likeness, remembered
from prunekit.pruning.blocks import Block
from prunekit.pruning.couplings import Coupling, couplings_of
from prunekit.pruning.graph import Axis, Facts, observe
from prunekit.pruning.kinds import kinds_of
from prunekit.pruning.lengths import AxisMeter
from prunekit.pruning.solve import Ids, Solution, components
from prunekit.pruning.tracker import Closed

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Channels that are chosen among each other: one row of ticks on the screen.

    Attributes
    ----------
    id : str
        Name of its first layer, with the role where one layer has several.
    layers : tuple of str
        Layers whose outputs shrink together.
    atoms : ndarray of int
        The removable units, in order of their index; removing one removes the same channel from all the layers.
    couplings : tuple of Coupling
        Operations that couple the layers, in the order in which they run; empty for a layer that shrinks alone.
    kind : {"channels", "heads", "head dimensions"}
        What one unit is: a channel of every layer, a whole head of attention, or the same dimension of each of its heads.
    """

    id: str
    layers: tuple[str, ...]
    atoms: Ids
    couplings: tuple[Coupling, ...]
    kind: str = "channels"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Operations that couple the layers, each in words."""
        return tuple(str(coupling) for coupling in self.couplings)

    @property
    def size(self) -> int:
        """Number of removable units."""
        return int(self.atoms.size)


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """The couplings of one model, found once; nothing in it holds a tensor.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of one sample that was run.
    groups : tuple of Group
        What can be removed.
    immovable : dict of str to str
        Layers that cannot shrink -> the reason.
    limits : tuple of str
        Plain sentences on what was met and cannot be pruned.
    macs : dict of str to int
        Multiply-accumulates of each layer for one sample; under ``""`` those of all other products.
    weights : dict of str to str
        State name of each layer's weight.
    blocks : tuple of Block
        Residual blocks that can go as a whole.
    """

    input_shape: tuple[int, ...]
    facts: Facts
    solution: Solution
    layers: tuple[str, ...]
    groups: tuple[Group, ...]
    incidence: dict[str, tuple[Ids, Ids, Ids]]
    immovable: dict[str, str]
    limits: tuple[str, ...]
    macs: dict[str, int]
    weights: dict[str, str]
    blocks: tuple[Block, ...] = ()

    def weight(self, layer: str) -> str:
        """Return the state name of a layer's weight."""
        return self.weights[layer]

    @cached_property
    def meter(self) -> AxisMeter:
        """Lengths of axes, and what is proportional to them."""
        return AxisMeter.of(self)

    def classes(self, axis: Axis) -> Ids:
        """Return the class of each element of an axis."""
        return np.asarray(self.solution.label[self.facts.axes[axis]])

    @cached_property
    def outputs(self) -> dict[str, Ids]:
        """Layer -> class of each output channel."""
        return {name: self.classes((self.weights[name], 0)) for name in self.layers}

    def kept(self, gone: Bools) -> dict[Axis, Bools]:
        """Return for every axis that loses elements which of them stay.

        Parameters
        ----------
        gone : ndarray of bool
            By class, as :meth:`Solution.removed` returns.
        """
        masks = ((axis, ~gone[self.classes(axis)]) for axis in self.facts.axes)
        return {axis: mask for axis, mask in masks if not mask.all()}

    def kept_groups(self, gone: Bools) -> dict[str, int]:
        """Return the new number of groups of every grouped convolution."""
        return {name: int((~gone[self.solution.label[ids]]).sum()) for name, ids in self.facts.grouped.items()}

    def kept_lengths(self, gone: Bools) -> dict[str, int]:
        """Return the new length of the axis that every layer norm works on, by module."""
        return {call[0]: int((~gone[self.solution.label[ids]]).sum()) for call, (ids, _) in self.facts.notes.norms.items()}


def weight_name(layer: str) -> str:
    """Return the name of the weight of a convolution or linear layer in the state dict."""
    return f"{layer}.weight" if layer else "weight"


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
    from prunekit.pruning.rehearsal import rehearsed  # noqa: PLC0415 (it carries plans out, which are made of what stands here)

    shape = tuple(input_shape) if input_shape else input_shape_of(model)
    key = shape, likeness(model)
    return remembered(_traced, model, key, lambda: rehearsed(model, lambda closed: _build(model, shape, closed)))


_traced: Cache[ChannelGraph] = WeakKeyDictionary()


def _build(model: nn.Module, shape: tuple[int, ...], closed: Closed) -> ChannelGraph:
    """Observe, solve and name."""
    facts = observe(model, shape, closed)
    solution = facts.variables.solve()
    weights = {name: weight_in(model, name) for name in channel_layers(model)}
    weights = {name: weight for name, weight in weights.items() if (weight, 0) in facts.axes}
    layers = tuple(weights)
    incidence = {name: solution.atoms(solution.label[facts.axes[weight, 0]]) for name, weight in weights.items()}
    immovable = _immovable(facts, solution.loose, weights, incidence)
    limits = [
        f"operation '{op}' in {place} is not supported yet: the channels it touches stay whole" for op, place in facts.unknown.items()
    ]
    kinds = kinds_of(model, facts, solution)
    groups = tuple(_named(group, kinds) for group in _groups(facts, solution, incidence, weights))
    macs = dict(costs(model, shape))
    macs[""] = 2 * macs[""] - sum(macs.values())  # what no layer does
    blocks = _with_layers(facts.blocks, layers)
    return ChannelGraph(shape, facts, solution, layers, groups, incidence, immovable, tuple(limits), macs, weights, blocks)


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
    for classes in (loose, _along(facts, loose)):
        why: dict[int, str] = {}
        for ids, reason in facts.variables.frozen:
            for label in np.unique(classes[ids]).tolist():
                why.setdefault(label, reason)
        for name in set(stuck) - found.keys():
            labels = np.unique(classes[facts.axes[weights[name], 0]]).tolist()
            found.update([(name, why[label]) for label in labels if label in why][:1])
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


def _named(group: Group, kinds: dict[int, str]) -> Group:
    """Say what a group's units are, where they are no channels."""
    kind = kinds.get(int(group.atoms[0]))
    return group if kind is None else replace(group, kind=kind, id=f"{group.layers[0]} ({kind})")
