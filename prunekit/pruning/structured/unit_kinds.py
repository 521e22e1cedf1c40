"""What one removable unit is: a channel, a whole head of attention, one dimension of every head, or a whole expert."""

from __future__ import annotations

import numpy as np
from torch import nn

from prunekit.models.attention.heads import adapters, heads_of
from prunekit.pruning.structured.coupling_solver import Ids, Solution
from prunekit.pruning.structured.trace_facts import Facts

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
