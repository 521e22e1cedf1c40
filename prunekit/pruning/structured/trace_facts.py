"""`Facts`: what the forward passes of a model told about its channels; and, by them, why layers shrink together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from prunekit.models.branches import Path
from prunekit.pruning.structured.coupling_solver import Ids, Solution, Variables
from prunekit.pruning.structured.input_forms import Form
from prunekit.pruning.structured.operation_calls import Call, Notes, Record
from prunekit.pruning.structured.residual_blocks import Block


@dataclass(frozen=True, eq=False)
class Product:
    """One product of a forward pass."""

    weight: str  # state name of the weight that takes part; empty for a product of activations
    macs: int  # multiply-accumulates of the dense model on the samples that were run
    axes: tuple[Ids, ...]  # variables of the axes whose lengths it is proportional to
    where: str  # the module that runs it


Axis = tuple[str, int]
Number = tuple[str, str]  # module and attribute


@dataclass(frozen=True)
class Facts:
    """What one model's forward passes told."""

    variables: Variables
    axes: dict[Axis, Ids]  # (name in the state dict, axis) -> variables of that axis. Tied parameters appear under their first name
    grouped: dict[str, Ids]  # grouped convolutions by module name -> the variables of their groups
    seen: set[str]  # state names that took part in a forward pass
    unknown: dict[str, str]  # operations without a rule -> the module they were met in
    notes: Notes  # what the proof has to mind besides zeroes
    products: tuple[Product, ...]  # what costs multiply-accumulates, in the order in which it runs
    splits: frozenset[str]  # modules that take an axis apart into a grid, such as heads and their dimensions
    blocks: tuple[Block, ...]  # residual blocks that can go as a whole
    outputs: dict[str, Ids]  # state name of a weight that takes part in a product -> variables of the outputs that it makes
    lengths: dict[str, Ids]  # norms by module name -> variables of the axis that they work on
    # variables of the axes of products of activations along which each index has a product of its own: heads of attention
    heads: tuple[Ids, ...]
    # variables of the axes of which so many have to stay: so many of them are chosen, such as experts, or their deviation is taken
    routes: tuple[tuple[Ids, int], ...]
    multiples: tuple[tuple[Ids, int], ...]  # variables of the axes whose length an operation wants to be a multiple of a number
    records: dict[Call, Record]  # every call in evaluation mode: what a smaller model's has to be like
    forms: tuple[tuple[Form, Notes], ...] = ()  # the further forms in which the model runs, traced along
    # module and attribute of somebody's own class that is a whole number -> variables of the axes, of grids there, that are as long: it
    # follows in a smaller copy. The rehearsal takes out what only stands in the way
    kept: dict[Number, tuple[Ids, ...]] = field(default_factory=dict)
    path: Path | None = None  # the branches that were taken, of a model that takes some by what a tensor says
    held: tuple[str, ...] = ()  # tensors of the model itself that a copy of it, without values, went on using
    # state name of a parameter that is looked up by number -> every operation that takes it, and the module that runs that
    uses: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    pieces: tuple[Ids, ...] = ()  # variables of the pieces of axes that are cut at sizes which a module keeps: each is something of its own
    experts: tuple[Ids, ...] = ()  # variables of the axes along which experts are packed that a router chooses from

    def made_by(self, weight: str) -> Ids:
        """Return the variables of the outputs of a weight; of its first axis where it takes part in no product."""
        return self.outputs.get(weight, self.axes[weight, 0])


@dataclass(frozen=True)
class Coupling:
    """One operation in which the channels of several layers meet.

    Attributes
    ----------
    operation : str
        Such as ``addition``, ``product`` or ``depthwise convolution``.
    module : str
        Name of the module in which it stands; empty for the model's own ``forward``.
    layers : tuple of str
        Layers of the group whose outputs meet there, in order of definition.
    """

    operation: str
    module: str
    layers: tuple[str, ...]

    def __str__(self) -> str:
        """Return the operation with its place, ``addition in layer1.0``."""
        return f"{self.operation} in {self.module}" if self.module else self.operation


def couplings_of(facts: Facts, solution: Solution, root: Ids, weights: dict[str, str]) -> dict[int, tuple[Coupling, ...]]:
    """Return for each group the operations in which outputs of two or more of its layers meet.

    ``weights``: layer -> state name of its weight. By the atom that stands for the group.
    """
    layers = tuple(weights)
    reasons, said, owner, ids = _met(facts, weights)
    if not ids.size:
        return {}
    positions, atoms, _ = solution.atoms(solution.label[ids])
    met: dict[tuple[int, int], list[str]] = defaultdict(list)
    shape = (facts.variables.count, len(reasons), len(layers))
    places = np.unique(np.ravel_multi_index((root[atoms], said[positions], owner[positions]), shape))
    for group, reason, layer in zip(*(part.tolist() for part in np.unravel_index(places, shape)), strict=True):
        met[group, reason].append(layers[layer])
    found: dict[int, tuple[Coupling, ...]] = defaultdict(tuple)
    for (group, reason), names in met.items():
        operation, _, module = reasons[reason].partition(" in ")
        if len(names) > 1:
            found[group] += (Coupling(operation, module, tuple(names)),)
    return found


def _met(facts: Facts, weights: dict[str, str]) -> tuple[list[str], Ids, Ids, Ids]:
    """Return the reasons of all equalities, and one entry for each layer's output in each: reason, layer, variable.

    Several equalities may speak of one operation: a grouped convolution states one for its inputs and one for its outputs. What only
    one layer's outputs take part in couples nothing.
    """
    whose = np.full(facts.variables.count, -1)
    for place, name in enumerate(weights.values()):
        whose[facts.made_by(name)] = place
    order: dict[str, int] = {"": 0}
    sides = [(order.setdefault(reason, len(order)), side) for a, b, reason in facts.variables.ties for side in (a, b)]
    said = np.repeat(np.array([reason for reason, _ in sides], np.int64), [side.size for _, side in sides])
    ids = np.concatenate([np.zeros(0, np.int64), *(side for _, side in sides)])
    made = whose[ids] >= 0
    said, ids = said[made], ids[made]
    owner = whose[ids]
    takes_part = np.zeros((len(order), len(weights)), np.bool_)
    takes_part[said, owner] = True
    shared = (takes_part.sum(1) > 1)[said] & (said > 0)
    return list(order), said[shared], owner[shared], ids[shared]
