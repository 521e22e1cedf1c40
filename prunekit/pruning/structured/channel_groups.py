"""What can be removed: atoms and their kinds, coupled groups, and what every removal does to the shape of every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.models.attention.heads import adapters, heads_of
from prunekit.pruning.structured.axis_sizes import AxisMeter
from prunekit.pruning.structured.coupling_solver import Ids, Solution
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.pruning.structured.trace_facts import Axis, Coupling, Facts, Number

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
    kind : {"channels", "heads", "head dimensions", "experts"}
        What one unit is: a channel of every layer, a whole head of attention, the same dimension of each of its heads, or a whole expert.
    least : int
        How many of the units have to stay, such as the experts that every token is given to.
    multiple : int
        Of what the number that stays has to be a multiple, for an operation that takes no other width.
    """

    id: str
    layers: tuple[str, ...]
    atoms: Ids
    couplings: tuple[Coupling, ...]
    kind: str = "channels"
    least: int = 1
    multiple: int = 1

    @property
    def reasons(self) -> tuple[str, ...]:
        """Operations that couple the layers, each in words."""
        return tuple(str(coupling) for coupling in self.couplings)

    @property
    def size(self) -> int:
        """Number of removable units."""
        return int(self.atoms.size)

    def allowed(self, wanted: int) -> int:
        """Return how many units may go, of so many that are wanted to: enough have to stay, and a multiple of what has to."""
        most = min(wanted, self.size - self.least)
        return max(most - (self.multiple - (self.size - most) % self.multiple) % self.multiple, 0)


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
        return AxisMeter.of(self.facts, self.solution.label, self.weights, self.macs)

    def classes(self, axis: Axis) -> Ids:
        """Return the class of each element of an axis."""
        return np.asarray(self.solution.label[self.facts.axes[axis]])

    @cached_property
    def outputs(self) -> dict[str, Ids]:
        """Layer -> class of each output channel."""
        return {name: np.asarray(self.solution.label[self.facts.made_by(self.weights[name])]) for name in self.layers}

    @cached_property
    def layouts(self) -> dict[str, tuple[int, int]]:
        """Layer whose outputs are not along the first axis of its weight -> that axis, and the groups of a transposed convolution."""
        found = {}
        for name, weight in self.weights.items():
            made, axis = self.facts.made_by(weight), 0
            while (weight, axis) in self.facts.axes and not np.array_equal(self.facts.axes[weight, axis], made):
                axis += 1
            if (weight, axis) not in self.facts.axes:
                found[name] = 1, made.size // self.facts.axes[weight, 1].size
            elif axis:
                found[name] = axis, 1
        return found

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
        """Return the new length of the axis that every norm works on, by module."""
        return {name: int((~gone[self.solution.label[ids]]).sum()) for name, ids in self.facts.lengths.items()}

    def kept_beside(self, gone: Bools) -> dict[Number, int]:
        """Return the numbers that modules keep beside their layers and that change, by module and attribute."""
        found = {}
        for place, axes in self.facts.kept.items():  # of the axes that are as long it is the first one of which anything can go
            classes = next((self.solution.label[ids] for ids in axes if self.solution.label[ids].any()), np.zeros(0, np.int64))
            if gone[classes].any():
                found[place] = int((~gone[classes]).sum())
        return found


def weight_name(layer: str) -> str:
    """Return the name of the weight of a convolution or linear layer in the state dict."""
    return f"{layer}.weight" if layer else "weight"


HEADS, DIMENSIONS, EXPERTS = "heads", "head dimensions", "experts"


def kinds_of(model: nn.Module, facts: Facts, solution: Solution) -> dict[int, str]:
    """Return the kind of every atom that stands on packed queries, keys and values, for whole heads of any attention, or for experts.

    Heads are what products of activations are apart by: a key-value head goes with its query heads, or of query heads one in each group.

    Atom to ``"heads"``, ``"head dimensions"`` or ``"experts"``; all others are channels.
    """
    found: dict[int, str] = {}
    for name, module, known in adapters(model):
        key = f"{name}.{known.rows}" if name else known.rows, 0
        count, width = heads_of(module, known)
        positions, atoms, _ = solution.atoms(solution.label[facts.axes[key]])
        heads, places = _touched(atoms, positions // width % count), _touched(atoms, positions % width)
        for atom in heads:
            if heads[atom] < count and places[atom] == width:
                found[atom] = HEADS
            elif heads[atom] == count and places[atom] < width:
                found[atom] = DIMENSIONS
    found |= {atom: EXPERTS for ids in facts.experts for atom in solution.atoms(solution.label[ids])[1].tolist()}
    if not facts.heads:
        return found
    wide = {atom for ids in facts.outputs.values() for atom in _repeated(solution.atoms(solution.label[ids])[1])}
    for ids in facts.heads:
        for atom in np.unique(solution.atoms(np.unique(solution.label[ids]))[1]).tolist():
            if atom in wide:  # one that takes along a single output of every layer is a channel
                found.setdefault(atom, HEADS)
    return found


def _repeated(atoms: Ids) -> list[int]:
    """Return the atoms that stand for several outputs."""
    unique, times = np.unique(atoms, return_counts=True)
    return list(unique[times > 1].tolist())


def _touched(atoms: Ids, where: Ids) -> dict[int, int]:
    """Return how many different places each atom touches."""
    pairs = np.unique(np.stack([atoms, where], 1), axis=0)
    unique, times = np.unique(pairs[:, 0], return_counts=True)
    return dict(zip(unique.tolist(), times.tolist(), strict=True))
