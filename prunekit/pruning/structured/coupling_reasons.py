"""Why layers shrink together: the operations in which their channels meet."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from prunekit.pruning.structured.coupling_solver import Ids, Solution
from prunekit.pruning.structured.trace_facts import Facts


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
