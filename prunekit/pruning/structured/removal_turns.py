"""In which order the groups of a model give their channels: by score, evenly, or by score among groups that are built alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunekit.pruning.structured.channel_schedule import Ladder
from prunekit.pruning.structured.coupling_solver import Ids

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
