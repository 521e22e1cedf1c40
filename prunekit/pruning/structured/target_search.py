"""Solving for a target on counts: how far to go so that a share of the channels, the parameters, the MACs or the bytes is gone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from prunekit.models.shared_rows import TableCut
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.channel_schedule import Stairs
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.plan import Removal

TOLERANCE = 0.02  # share of the whole by which a target may be missed without a word
FINE = 0.005  # beyond it a better mix of steps is looked for
MOVES = 24
FEW = 1000  # so many mixes of steps are simply all tried

Value = Callable[[Ids], int]


@dataclass(frozen=True, eq=False)
class Meter:
    """What a removal takes away, counted in one unit."""

    graph: ChannelGraph
    unit: str  # {"channels", "params", "macs", "bytes"}: what is counted
    total: int  # the whole: removable channels of the chosen groups, or parameters, MACs or bytes of the parameters of the model
    parameters: dict[str, tuple[int, ...]]  # shape of every parameter of the dense model
    blocks: tuple[str, ...] = ()  # residual blocks that go in any case
    inside: int = 0  # removable channels of the chosen groups that go with them
    widths: dict[str, int] = field(default_factory=dict)  # bytes of an element of every parameter
    # rows of embedding tables that go in any case; the remaps that they leave behind count in bytes
    rows: Mapping[str, TableCut] = field(default_factory=dict)

    def removed(self, atoms: Ids) -> int:
        """Return how much goes with some atoms and the blocks; exact."""
        if self.unit == "channels":
            return int(atoms.size) + self.inside
        removal = Removal(self.graph, atoms, blocks=self.blocks, rows=self.rows)
        if self.unit == "bytes":
            alike = {size: {n: shape for n, shape in self.parameters.items() if self.widths[n] == size} for size in {*self.widths.values()}}
            remaps = sum(cut.added_bytes for cut in self.rows.values())
            return sum(size * removal.removed_params(shapes) for size, shapes in alike.items()) - remaps
        return removal.removed_macs() if self.unit == "macs" else removal.removed_params(self.parameters)


def climb(stairs: Stairs, value: Value, wanted: int, stops: Ids | None = None) -> Ids:
    """Return the levels after the number of turns that comes nearest to what is wanted."""
    turns = np.arange(stairs.turns.size + 1) if stops is None else stops
    low, high = 0, turns.size - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if value(stairs.levels(turns[middle])) < wanted else (low, middle)
    before = max(low - 1, 0)
    short, over = (abs(value(stairs.levels(turns[place])) - wanted) for place in (before, low))
    return stairs.levels(turns[before if short < over else low])


def refine(stairs: Stairs, levels: Ids, value: Value, wanted: int, good: int) -> Ids:
    """Move single groups, then pairs of them, up or down a level while that comes nearer to what is wanted.

    The order of the turns is given up as little as needed: where the next turn is a large step, smaller ones of other groups fill the gap.
    """
    now = value(levels)
    for _ in range(MOVES):
        if abs(now - wanted) <= good:
            break
        moves = _moves(stairs, levels)
        gains = [value(levels + move) - now for move in moves]
        steps = [(abs(now + gain - wanted), index, move) for index, (gain, move) in enumerate(zip(gains, moves, strict=True))]
        pairs = combinations(range(len(moves)), 2)
        guesses = sorted((abs(now + gains[i] + gains[j] - wanted), i, j) for i, j in pairs if not (moves[i] & moves[j]).any())[:8]
        steps += [(abs(value(levels + moves[i] + moves[j]) - wanted), len(moves), moves[i] + moves[j]) for _, i, j in guesses]
        error, _, best = min(steps, key=lambda step: step[:2], default=(abs(now - wanted), 0, levels * 0))
        if error >= abs(now - wanted):
            break
        levels = levels + best
        now = value(levels)
    return levels


def _moves(stairs: Stairs, levels: Ids) -> list[Ids]:
    """Return every single step up or down."""
    found = []
    for index, ladder in enumerate(stairs.ladders):
        for step in (1, -1):
            if 0 <= levels[index] + step <= ladder.top:
                move = np.zeros_like(levels)
                move[index] = step
                found.append(move)
    return found


def solve(stairs: Stairs, value: Value, wanted: int, total: int) -> Ids:
    """Return the levels at which as nearly as possible ``wanted`` goes, in the order of the stairs where that is near enough.

    Where all groups give the same share, groups of one size give as many where that comes near enough: layers that were alike stay so.
    """
    if stairs.even is not None and abs(value(levels := climb(stairs, value, wanted, stairs.even)) - wanted) <= TOLERANCE * total:
        return levels
    levels = refine(stairs, climb(stairs, value, wanted), value, wanted, round(FINE * total))
    choices = math.prod(ladder.levels.size for ladder in stairs.ladders)
    if abs(value(levels) - wanted) <= TOLERANCE * total or choices > FEW:
        return levels
    everything = (np.array(choice) for choice in product(*(range(ladder.levels.size) for ladder in stairs.ladders)))
    return min(everything, key=lambda choice: abs(value(choice) - wanted))
