"""Where the nodes of a graph stand in a drawing by layers: down the page as the data flow, long edges in lanes of their own.

Sugiyama, Tagawa, Toda 1981: ranks by the longest path, order within a rank by barycentres, then places that keep the order and are as
near as they can be to the middle of their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LANE = 0.22  # width of an edge that passes a rank, where a node is about 1 wide
MAIN, OTHER, PASSING = 40.0, 1.0, 0.01  # how strongly an edge of the longest way, another one, and one that passes by is kept straight
SWEEPS, LAST = 16, 10
Place = tuple[int, int]  # node, and the rank at which its edges pass by; its own for the node itself
Links = dict[Place, dict[Place, float]]


@dataclass(frozen=True)
class Drawing:
    """Places in units of a node's width across and of ranks down."""

    ranks: NDArray[np.int64]  # [nodes]: row of each node, from 0
    x: NDArray[np.float64]  # [nodes]: middle of each node
    routes: dict[tuple[int, int], list[float]]  # edge that flows down -> where it passes each rank, both ends included


def layered(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Drawing:
    """Place nodes that are numbered in an order along which edges flow."""
    forward = sorted((a, b) for a, b in edges if a < b)
    ranks, below = np.zeros(len(widths), np.int64), np.zeros(len(widths), np.int64)
    for a, b in forward:
        ranks[b] = max(ranks[b], ranks[a] + 1)
    for a, b in reversed(forward):
        below[a] = max(below[a], below[b] + 1)
    reach = ranks.copy()  # how far down the edges of a node pass by: they share one lane
    for a, b in forward:
        reach[a] = max(reach[a], ranks[b] - 1)
    rows: list[list[Place]] = [[] for _ in range(int(ranks.max(initial=0)) + 1)]
    up: Links = {}
    down: Links = {}
    for a in range(len(widths)):
        for rank in range(int(ranks[a]), int(reach[a]) + 1):
            rows[rank].append((a, rank))
            up[a, rank], down[a, rank] = {}, {}
            if rank > ranks[a]:
                up[a, rank][a, rank - 1] = down[a, rank - 1][a, rank] = PASSING
    taken = set[int]()
    for a, b in forward:
        above, here = (a, int(ranks[b]) - 1), (b, int(ranks[b]))
        main = ranks[b] == ranks[a] + 1 and below[b] == below[a] - 1 and not {a, ~b} & taken
        taken |= {a, ~b} if main else set()
        up[here][above] = down[above][here] = MAIN if main else OTHER if above[1] == ranks[a] else PASSING
    wide = {place: widths[place[0]] if place[1] == ranks[place[0]] else LANE for row in rows for place in row}
    x = _placed(rows, up, down, wide)
    own = np.array([x[a, int(ranks[a])] for a in range(len(widths))])
    routes = {(a, b): [*(x[a, rank] for rank in range(int(ranks[a]), int(ranks[b]))), float(own[b])] for a, b in forward}
    return Drawing(ranks, own, routes)


def _placed(rows: list[list[Place]], up: Links, down: Links, wide: Mapping[Place, float]) -> dict[Place, float]:
    """Order each row by the middle of its neighbours, and place it there as far as widths allow; down and up in turns."""
    x = {place: float(number) for row in rows for number, place in enumerate(row)}
    for sweep in range(SWEEPS):
        settled = sweep >= SWEEPS - LAST  # the order is kept, and both sides have a say
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted, weights = {}, {}
            for place in row:
                first, second = (up, down) if sweep % 2 == 0 else (down, up)
                near = {**up[place], **down[place]} if settled else first[place] or second[place]
                weights[place] = sum(near.values()) or PASSING
                wanted[place] = sum(x[each] * pull for each, pull in near.items()) / weights[place] if near else x[place]
            if not settled:
                row.sort(key=wanted.__getitem__)
            x.update(zip(row, _apart(*([of[p] for p in row] for of in (wanted, wide, weights))), strict=True))
    return x


def _apart(wanted: Sequence[float], widths: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted, by squares, that keep the order and leave room for each width."""
    ends = np.cumsum(widths) - np.asarray(widths) / 2
    pools: list[list[float]] = []  # of shifted places that were pooled: mean, weight, how many
    for place, weight in zip(np.asarray(wanted) - ends, weights, strict=True):
        pools.append([float(place), weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight_b, count = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + mean * weight_b) / (before[1] + weight_b)
            before[1] += weight_b
            before[2] += count
    return [float(v) for v in np.repeat([p[0] for p in pools], [int(p[2]) for p in pools]) + ends]
