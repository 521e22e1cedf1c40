"""Which elements of which axes are removed together: collect equalities and ORs, solve once.

Every element of every tensor axis has an integer variable, true when the element is removed. Variable 0 is immovable. A variable may be the
OR of two others (an element of a flattened axis goes when its row or its column goes). Propagation through the network only collects
facts; :meth:`Variables.solve` then finds the classes of equal variables. The result does not depend on the order of the facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Pairs = tuple[Ids, Ids]

IMMOVABLE = 0


@dataclass
class Variables:
    """Collects facts about variables."""

    count: int = 1
    ties: list[tuple[Ids, Ids, str]] = field(default_factory=list)
    ors: list[tuple[Ids, Ids, Ids]] = field(default_factory=list)
    frozen: list[tuple[Ids, str]] = field(default_factory=list)

    def fresh(self, size: int) -> Ids:
        """Return new, independent variables for an axis of ``size`` elements."""
        self.count += size
        return np.arange(self.count - size, self.count, dtype=np.int64)

    def tie(self, a: Ids, b: Ids, reason: str = "") -> None:
        """State that ``a[i]`` and ``b[i]`` are removed together, for every i."""
        if a is not b:
            self.ties.append((a, b, reason))

    def freeze(self, a: Ids, reason: str) -> None:
        """State that none of ``a`` can be removed."""
        if a.any():
            self.frozen.append((a[a != IMMOVABLE], reason))

    def either(self, a: Ids, b: Ids) -> Ids:
        """Return variables that are removed when ``a[i]`` or ``b[i]`` is."""
        out = np.where(a == IMMOVABLE, b, a)
        both = (a != IMMOVABLE) & (b != IMMOVABLE) & (a != b)
        if both.any():
            out[both] = self.fresh(int(both.sum()))
            self.ors.append((out[both], a[both], b[both]))
        return out

    def outer(self, rows: Ids, columns: Ids) -> Ids:
        """Return the variables of a flattened axis: element ``i * len(columns) + j`` goes when row i or column j goes."""
        return self.either(np.repeat(rows, columns.size), np.tile(columns, rows.size))

    def solve(self) -> Solution:
        """Find the classes of variables that are removed together."""
        none = np.zeros(0, np.int64)
        loose = components(self.count, *(np.concatenate([none, *(tie[side] for tie in self.ties)]) for side in (0, 1)))
        frozen = np.zeros(self.count, np.bool_)
        frozen[loose[np.concatenate([none, *(found for found, _ in self.frozen)])]] = True
        frozen[IMMOVABLE] = True
        label = np.where(frozen[loose], IMMOVABLE, loose)
        out, first, second = (np.concatenate([none, *(part[k] for part in self.ors)]) for k in range(3))
        while out.size:
            more = _consequences(label[out], label[first], label[second])
            # labels name the least variable of their class, so they can stand for it
            fresh = label[more[0]] != label[more[1]]
            if not fresh.any():
                break
            label = components(self.count, more[0][fresh], more[1][fresh])[label]
        table = np.stack([label[out], label[first], label[second]], 1)
        table = table[(table[:, 0] != table[:, 1]) & (table[:, 0] != table[:, 2])]
        # equal ORs have equal parts: one row for each
        return Solution(label, table[np.unique(table[:, 0], return_index=True)[1]], loose)


def components(count: int, left: Ids, right: Ids) -> Ids:
    """Return for each of ``count`` variables the least one of its class, where ``left[i]`` and ``right[i]`` are in one class."""
    from scipy.sparse import coo_array  # noqa: PLC0415 (slow to import, and processes that time have no use for it)
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    graph = coo_array((np.ones(left.size, np.int8), (left, right)), shape=(count, count))
    found, component = connected_components(graph, directed=False)
    least = np.empty(found, dtype=np.int64)
    least[component[::-1]] = np.arange(count - 1, -1, -1)  # of several values for one place the last one stays
    return np.asarray(least[component])


def _consequences(out: Ids, first: Ids, second: Ids) -> Pairs:
    """Return the equalities that follow from ORs between class labels: those by logic alone, and only where there are none, the others."""
    sure = _by_logic(out, first, second)
    return sure if (sure[0] != sure[1]).any() else _by_structure(out, first, second)


def _by_logic(out: Ids, first: Ids, second: Ids) -> Pairs:
    """Return what is sure: an immovable part leaves the other part, an immovable OR has immovable parts, equal parts make one variable."""
    nothing = np.full_like(out, IMMOVABLE)
    pairs = [
        (a[condition], b[condition])
        for condition, a, b in (
            (first == IMMOVABLE, out, second),
            (second == IMMOVABLE, out, first),
            (first == second, out, first),
            (out == IMMOVABLE, first, nothing),
            (out == IMMOVABLE, second, nothing),
        )
    ]
    if out.size:
        _, index, inverse = np.unique(first * (second.max() + 1) + second, return_index=True, return_inverse=True)
        pairs.append((out, out[index][inverse]))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _by_structure(out: Ids, first: Ids, second: Ids) -> Pairs:
    """Return what keeps axes rectangular: equal ORs have equal parts, and a part that equals its OR takes the other part along.

    Where it would go along with several, it stays instead: copies of a grouped key go with their group, none by itself.
    """
    both = (first != IMMOVABLE) & (second != IMMOVABLE)  # an OR with an immovable part is its other part: nothing follows
    pairs = []
    for one, other in ((first, second), (second, first)):
        along, leader = other[both & (out == one)], out[both & (out == one)]
        met = np.unique(np.stack([along, leader], 1), axis=0)[:, 0]
        pairs.append((along, np.where(np.isin(along, met[1:][met[1:] == met[:-1]]), IMMOVABLE, leader)))
    real = both & (out != first) & (out != second)
    if real.any():
        _, index, inverse = np.unique(out[real], return_index=True, return_inverse=True)
        pairs += [(part[real], part[real][index][inverse]) for part in (first, second)]
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


@dataclass(frozen=True)
class Solution:
    """Classes of variables."""

    label: Ids  # [variables]: class of each variable, named by its least member; 0 is the immovable class
    ors: Ids  # [n, 3]: rows (class, part, part): the class is removed when either part is
    loose: Ids  # [variables]: classes by the equalities alone: what makes a class immovable can be told apart there

    @cached_property
    def _row(self) -> Ids:
        """By class: the row of ``ors`` that defines it, or -1."""
        row = np.full(self.label.size, -1, dtype=np.int64)
        row[self.ors[:, 0]] = np.arange(len(self.ors))
        return row

    def atoms(self, classes: Ids) -> tuple[Ids, Ids, Ids]:
        """Return which atoms remove which element of an axis.

        ``positions, atoms, roles``: one entry for each element and atom that removes it. The role says by which part of its ORs: 1 for an
        element that is an atom itself, then one binary digit for each OR on the way.
        """
        positions, labels, roles = np.arange(classes.size), np.asarray(classes), np.ones(classes.size, dtype=np.int64)
        done: list[tuple[Ids, Ids, Ids]] = []
        while positions.size:
            row = self._row[labels]
            plain = (row < 0) & (labels != IMMOVABLE)
            done.append((positions[plain], labels[plain], roles[plain]))
            positions, roles, row = positions[row >= 0], roles[row >= 0], row[row >= 0]
            labels = np.concatenate([self.ors[row, 1], self.ors[row, 2]])
            positions, roles = np.tile(positions, 2), np.concatenate([roles * 2, roles * 2 + 1])
        return tuple(np.concatenate([d[k] for d in done]) for k in range(3)) if done else (labels, labels, labels)  # type: ignore[return-value]

    def removed(self, atoms: Ids) -> NDArray[np.bool_]:
        """Return for each class (indexed by its label) whether it goes when these atoms go."""
        gone = np.zeros(self.label.size, dtype=np.bool_)
        gone[atoms] = True
        while self.ors.size:
            now = gone[self.ors[:, 0]] | gone[self.ors[:, 1]] | gone[self.ors[:, 2]]
            if (now == gone[self.ors[:, 0]]).all():
                break
            np.logical_or.at(gone, self.ors[:, 0], now)
        return gone
