"""How many channels may go from each group, and in which order the groups give: what caps and channel multiples leave open."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunekit.config.spec import PruneSpec
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.importance import Scores

Chunk = tuple[int, Ids]


@dataclass(frozen=True, eq=False)
class Ladder:
    """One group's channels in the order in which they go, and the counts at which it may stop."""

    group: Group
    order: Ids  # atoms that may go, in the order in which they do
    scores: Scores  # their scores; ascending where nothing but the score decides
    levels: Ids  # counts that may go, ascending, from 0

    @property
    def top(self) -> int:
        """Index of the last level."""
        return self.levels.size - 1

    def nearest(self, count: int) -> int:
        """Return the index of the level nearest to a count; of two the one that keeps more."""
        return int(np.argmin(np.abs(self.levels - count)))

    def below(self, threshold: float) -> int:
        """Return the index of the highest level at which only channels that score below a threshold have gone."""
        stop = np.flatnonzero(self.scores >= threshold)
        count = int(stop[0]) if stop.size else self.order.size
        return int(np.searchsorted(self.levels, count, side="right")) - 1

    def gone(self, level: int) -> Ids:
        """Return the atoms that go at a level."""
        return self.order[: self.levels[level]]


@dataclass(frozen=True)
class _Share:
    """What one group's atoms mean to one layer."""

    atoms: Ids  # those that stand on the layer
    times: int  # outputs of the layer for each of them
    budget: int  # outputs that may go
    step: int  # of what the number of atoms that stay has to be a multiple; 0 where no number will do


def roles_open(graph: ChannelGraph, group: Group, layer: str, open_to: Ids) -> int:
    """Return in how many ways one output of a layer can go, its group's own among them."""
    positions, atoms, roles = graph.incidence[layer]
    if not roles.size or (roles == roles[0]).all():
        return 1  # most layers have a single role, and this is asked for each of them
    among = np.zeros((2, 1 + max(int(ids.max(initial=0)) for ids in (atoms, open_to, group.atoms))), dtype=np.bool_)
    among[0, open_to], among[1, group.atoms] = True, True
    is_open, mine = among[:, atoms]
    ways = np.bincount(positions[is_open], minlength=graph.outputs[layer].size)
    return int(ways[positions[mine]].max(initial=1))


def _share(graph: ChannelGraph, spec: PruneSpec, group: Group, layer: str, open_to: Ids) -> _Share:
    """Return what a cap and the channel multiple mean for a group's atoms on one of its layers."""
    positions, atoms, _ = graph.incidence[layer]
    mine = np.isin(atoms, group.atoms)
    unique, times = np.unique(atoms[mine], return_counts=True)
    outputs = np.unique(positions[mine]).size
    parts = roles_open(graph, group, layer, open_to)
    # outputs in several roles (a group and a place within it) go by either: each open role takes its part of the cap
    budget = math.floor((1 - (1 - spec.cap(layer)) ** (1 / parts)) * outputs + 1e-9)
    step = 1
    if spec.round_to > 1:
        # several open roles multiply, and the other factor may change: then only the count itself is safe
        plain = parts == 1 and np.unique(times).size == 1
        step = spec.round_to // math.gcd(spec.round_to, int(times[0])) if plain else spec.round_to
        if (graph.outputs[layer].size - outputs) % spec.round_to:
            step = 0  # the outputs that are not the group's own leave no multiple
    return _Share(unique, int(times.max()), budget, step)


def ladder(graph: ChannelGraph, spec: PruneSpec, group: Group, scores: Scores, reserved: Ids, *, open_to: Ids) -> Ladder:
    """Return what a setting's caps and channel multiple leave open for one group."""
    if spec.round_to == group.multiple == 1 and not spec.capped:  # one at a time, on whatever layers each of them stands
        free = np.flatnonzero(~np.isin(group.atoms, reserved))
        order = free[np.argsort(scores[free], kind="stable")]
        return Ladder(group, group.atoms[order], scores[order], np.arange(order.size + 1))
    shares = [_share(graph, spec, group, layer, open_to) for layer in group.layers]
    stands = np.stack([np.isin(group.atoms, share.atoms) for share in shares], 1)
    chunks = _chunks(group, scores, reserved, *_cells(stands, np.array([math.lcm(share.step, group.multiple) for share in shares])))
    picked = _within(chunks, stands * np.array([share.times for share in shares]), [share.budget for share in shares], spec)
    order = np.concatenate([*picked, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return Ladder(group, group.atoms[order], scores[order], np.cumsum([0, *(chunk.size for chunk in picked)]))


def _within(chunks: list[Chunk], costs: Ids, budgets: list[int], spec: PruneSpec) -> list[Ids]:
    """Return the chunks that the layers' caps leave, in order; ``costs`` says by atom and layer how many outputs go."""
    if not spec.capped:
        return [places for _, places in chunks]
    picked: list[Ids] = []
    closed: set[int] = set()
    left = np.array(budgets)
    for cell, places in chunks:
        cost = costs[places].sum(0)
        if cell in closed or (cost > left).any():
            if cell < 0:
                break  # without the first chunk no other leaves a multiple
            closed.add(cell)
            continue
        left -= cost
        picked.append(places)
    return picked


def _cells(stands: NDArray[np.bool_], steps: Ids) -> tuple[list[Ids], list[int]]:
    """Part a group's places by the layers on which they stand; return the parts and the multiple that each has to keep.

    Behind a concatenation a layer's outputs are tied to several layers, each to a part of them.
    """
    if stands.all():  # every channel stands on all layers, as nearly everywhere
        return [np.arange(len(stands))], [int(np.lcm.reduce(steps))]
    _, which = np.unique(stands, axis=0, return_inverse=True)
    cells = [np.flatnonzero(which.reshape(-1) == index) for index in range(int(which.max()) + 1)]
    return cells, [int(np.lcm.reduce(steps[stands[cell[0]]])) for cell in cells]  # the least multiple with 0 is 0


def _chunks(group: Group, scores: Scores, reserved: Ids, cells: list[Ids], steps: list[int]) -> list[Chunk]:
    """Return what goes at once, as (cell, places), in order: by mean score, the one that makes all cells multiples first, as cell -1."""
    if not all(steps):
        return []
    first: list[Ids] = []
    found: list[tuple[float, int, Ids]] = []
    for cell, (places, step) in enumerate(zip(cells, steps, strict=True)):
        free = places[~np.isin(group.atoms[places], reserved)]
        free = free[np.argsort(scores[free], kind="stable")]
        odd = places.size % step
        if free.size < odd or (odd and places.size < step):
            return []  # this part cannot become a multiple, and it would have to
        if odd and len(cells) > 1:
            first.append(free[:odd])
            free = free[odd:]
            odd = 0
        if step == 1:
            found += [(score, cell, free[at : at + 1]) for at, score in enumerate(scores[free].tolist())]
            continue
        ends = range(odd or step, free.size + 1, step)
        found += [(float(scores[part].mean()), cell, part) for part in (free[max(end - step, 0) : end] for end in ends)]
    found.sort(key=lambda item: (item[0], int(item[2][0])) if item[2].size == 1 else (item[0], item[1]))
    joint = [(-1, np.concatenate(first))] if first else []
    return joint + [(cell, part) for _, cell, part in found]


Keys = list[NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Stairs:
    """All groups' ladders, climbed in one fixed order: more of it always removes more."""

    ladders: tuple[Ladder, ...]
    turns: Ids  # which ladder climbs one level, turn after turn
    # where all groups give the same share: the numbers of turns after which groups of one size have given as many, as those of layers that
    # are built alike; from 0 to all
    even: Ids | None = None

    @classmethod
    def of(cls, ladders: tuple[Ladder, ...], scope: str, forms: Mapping[str, Hashable] | None = None) -> Stairs:
        """Order the turns.

        ``scope``: {"global", "uniform", "isomorphic"}: by score over all groups; so that all groups give the same share; or so that all
        sets of groups that are built alike do, within a set by score.
        """
        if not ladders:
            return cls((), np.empty(0, dtype=np.int64))
        whose = [np.full(ladder.top, index) for index, ladder in enumerate(ladders)]
        keys = [_by_share(ladder) if scope == "uniform" else _by_score(ladder) for ladder in ladders]
        if scope == "isomorphic":
            keys = _by_form(ladders, keys, forms or {})
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        even = np.append(np.flatnonzero(np.diff(every[order], prepend=-np.inf)), every.size) if scope == "uniform" else None
        return cls(ladders, np.concatenate(whose)[order].astype(np.int64), even)

    def levels(self, turns: int) -> Ids:
        """Return the level of each ladder after so many turns."""
        return np.bincount(self.turns[:turns], minlength=len(self.ladders))

    def gone(self, levels: Ids) -> Ids:
        """Return the atoms that go at these levels."""
        parts = [ladder.gone(int(level)) for ladder, level in zip(self.ladders, levels, strict=True)]
        return np.concatenate([*parts, np.empty(0, dtype=np.int64)]).astype(np.int64)


def _by_score(ladder: Ladder) -> NDArray[np.float64]:
    """Return for each turn the mean score of what it removes."""
    if ladder.top == ladder.levels[-1]:
        return ladder.scores[: ladder.top]  # one at a time
    return np.array([ladder.scores[a:b].mean() for a, b in zip(ladder.levels[:-1], ladder.levels[1:], strict=True)])


def _by_share(ladder: Ladder) -> NDArray[np.float64]:
    """Return for each turn the share of the group at which its count is rounded up to the next level."""
    return (ladder.levels[:-1] + ladder.levels[1:]) / (2 * ladder.group.size)


def _by_form(ladders: tuple[Ladder, ...], scores: Keys, forms: Mapping[str, Hashable]) -> Keys:
    """Return for each turn the share of all groups of its form at which it comes, in the order of the scores."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, ladder in enumerate(ladders):
        alike[forms.get(ladder.group.id)].append(index)
    keys = [np.empty(ladder.top) for ladder in ladders]
    for members in alike.values():
        ends = np.cumsum([0, *(ladders[index].top for index in members)])
        order = np.argsort(np.concatenate([scores[index] for index in members]), kind="stable")
        steps = np.concatenate([np.diff(ladders[index].levels) for index in members])[order]
        share = np.empty(order.size)
        share[order] = (np.cumsum(steps) - steps / 2) / sum(ladders[index].group.size for index in members)
        for index, start, stop in zip(members, ends[:-1], ends[1:], strict=True):
            keys[index] = share[start:stop]
    return keys
