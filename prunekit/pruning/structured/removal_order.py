"""Scored groups with what overrides fix, and the order in which the other groups give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.pruning.layer_selection import JointShare, joint_shares
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.channel_schedule import Ladder, Stairs, ladder, roles_open
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.scored_groups import ScoredGroups
from prunekit.pruning.structured.target_search import solve


def groups_of(ranking: ScoredGroups) -> dict[JointShare, list[Group]]:
    """Return the groups that count in each joint share of a setting."""
    found = {each: [g for g in ranking.groups if each.holds(g.layers)] for each in joint_shares(ranking.spec, ranking.graph.layers)}
    seen: dict[str, str] = {}
    for each, groups in found.items():
        if not groups:
            raise PruningError(f"the share of {each.key} cannot be honoured: no channel goes with its layers alone. Name other layers")
        for group in groups:
            if seen.setdefault(group.id, each.key) != each.key:
                raise PruningError(
                    f"{', '.join(group.layers)} shrink together, and count in the shares of {seen[group.id]} and {each.key}: "
                    "make them one share"
                )
    return found


def fixed_and_joint(ranking: ScoredGroups) -> dict[str, Fixed]:
    """Return group id -> what overrides and joint shares remove."""
    fixed = fixed_groups(ranking)
    for each, groups in groups_of(ranking).items():
        twice = next((group for group in groups if group.id in fixed), None)
        if twice is not None:
            raise PruningError(
                f"{', '.join(twice.layers)} shrink together: they have an override, and the share of {each.key}. Give one of them"
            )
        fixed |= _shared(ranking, each, groups)
    return fixed


def _shared(ranking: ScoredGroups, joint: JointShare, groups: list[Group]) -> dict[str, Fixed]:
    """Return what goes from each group of one joint share: by score, or evenly, as the setting's scope says."""
    stairs = Stairs.of(tuple(ranking.ladders[group.id] for group in groups), ranking.spec.scope, ranking.forms)
    total = sum(group.size for group in groups)
    wanted = round(joint.share * total)
    levels = solve(stairs, lambda now: int(stairs.gone(now).size), wanted, 0 if ranking.plain else total)
    got = int(stairs.gone(levels).size)
    said = None if got == wanted else f"the layers of {joint.key} were to lose {wanted:,} of {total:,} units together and lose {got:,}"
    asked = joint.share if ranking.spec.scope == "uniform" else None
    parts = zip(stairs.ladders, levels.tolist(), strict=True)
    return {ladder.group.id: Fixed(asked, ladder.gone(level), said if i == 0 else None) for i, (ladder, level) in enumerate(parts)}


class RemovalOrder(ScoredGroups):
    """Scored groups, in the order in which a growing share is taken from them."""

    @cached_property
    def fixed(self) -> dict[str, Fixed]:
        """Group id -> what overrides and joint shares make of it."""
        return fixed_and_joint(self)

    @cached_property
    def stairs(self) -> Stairs:
        """The groups without an override, in the order in which they give."""
        free = tuple(found for name, found in self.ladders.items() if name not in self.fixed)
        return Stairs.of(free, self.spec.scope, self.forms if self.spec.scope == "isomorphic" else None)

    @cached_property
    def by_blocks(self) -> int:
        """What goes with whole blocks and rows of tables alone, in the target's unit."""
        return self.meter.removed(np.empty(0, dtype=np.int64)) if self.others else 0

    @property
    def others(self) -> bool:
        """Whether whole blocks go, or rows of tables."""
        return bool(self.blocks or self.rows)

    @cached_property
    def by_fixed(self) -> int:
        """What goes with whole blocks, rows of tables and overrides, in the target's unit."""
        atoms, _ = self.overridden()
        return self.meter.removed(atoms) if atoms.size or self.others else 0

    def overridden(self) -> tuple[Ids, list[str]]:
        """Return the atoms that overrides remove, and sentences on what rounding made of them."""
        atoms = np.concatenate([np.empty(0, dtype=np.int64), *(fixed.atoms for fixed in self.fixed.values())])
        return atoms, [*self.limits, *(fixed.limit for fixed in self.fixed.values() if fixed.limit)]

    def taken(self, levels: Ids, fixed: Ids) -> int:
        """Return how much goes at some levels of the stairs, overrides included, in the target's unit."""
        return self.meter.removed(np.concatenate([fixed, self.stairs.gone(levels)]))


@dataclass(frozen=True)
class Fixed:
    """What overrides make of one group."""

    # asked of the layers, 0 to 1: the share of their outputs that is to go, whether the group alone gives it or several; None where scores
    # say which of several groups gives what
    share: float | None
    atoms: Ids
    limit: str | None = None  # what kept the group from what was asked of it


def fixed_groups(ranking: ScoredGroups) -> dict[str, Fixed]:
    """Return group id -> what overrides remove.

    Where a layer's outputs go in several ways (by heads and by dimensions of attention, by groups and by places within them), each way
    takes as large a part as the others, and the last one what rounding left of the asked share.
    """
    shares, found = dict(ranking.spec.overrides), dict[str, Fixed]()
    asked = [(_fewest(ranking, *entry, ranking.open_to)[0], entry[0].size, entry) for entry in _asked(ranking)]
    # the only way that some layer has comes first: layers with others make up for what it takes; the one of the finest steps comes last
    for *_, (group, names) in sorted(asked, key=lambda entry: entry[:2]):
        share = shares[names[0]]
        found[group.id] = _settled(ranking, group, share, *_own_share(ranking, group, names, share, found))
    return found


def _asked(ranking: ScoredGroups) -> list[tuple[Group, list[str]]]:
    """Return the groups that overrides fix, in order, with the layers whose overrides do; raise where one cannot be honoured."""
    found: dict[str, tuple[Group, list[str]]] = {}
    shares = dict(ranking.spec.overrides)
    for layer, share in shares.items():
        hits = [group for group in ranking.groups if layer in group.layers]
        if not hits:
            raise PruningError(f"the override of {layer} cannot be honoured: {_why_whole(ranking, layer)}")
        for group in hits:
            names = found.setdefault(group.id, (group, []))[1]
            _check(ranking.spec, group, layer, share, (names[0], shares[names[0]]) if names else None)
            names.append(layer)
    return [found[group.id] for group in ranking.groups if group.id in found]


def _fewest(ranking: ScoredGroups, group: Group, names: list[str], still: Ids) -> tuple[int, str]:
    """Return in how many ways one output of a group's layers can go by some units, at the layer with the fewest of them."""
    return min((roles_open(ranking.graph, group, name, still), name) for name in names)


def _own_share(ranking: ScoredGroups, group: Group, names: list[str], share: float, found: dict[str, Fixed]) -> tuple[float, int]:
    """Return the share of a group that leaves its layers the asked one, and in how many ways, this one included, they can still lose."""
    none = np.empty(0, dtype=np.int64)
    gone = np.concatenate([none, *(fixed.atoms for fixed in found.values())])
    ways, layer = _fewest(ranking, group, names, np.concatenate([none, *(g.atoms for g in ranking.groups if g.id not in found)]))
    positions, atoms, _ = ranking.graph.incidence[layer]
    mine = np.unique(positions[np.isin(atoms, group.atoms)])
    stay = float(1 - np.isin(mine, positions[np.isin(atoms, gone)]).mean())
    if ways == 1 and stay == 1:
        return share, 1
    return 1 - min((1 - share) / max(stay, 1e-12), 1.0) ** (1 / ways), ways


def _settled(ranking: ScoredGroups, group: Group, share: float, own: float, ways: int) -> Fixed:
    """Return the units of a group that go, as many as come nearest to its own share."""
    steps = ranking.ladders[group.id]
    asked = round(own * group.size)
    level = steps.nearest(asked)
    going = int(steps.levels[level])
    if going == asked or ways > 1:  # another way makes up for it, and says what it cannot
        return Fixed(share, steps.gone(level))
    said = f"{group.id} was to lose {asked} of {group.size} {group.kind} and loses {going}: {_held(ranking, steps, asked)}"
    return Fixed(share, steps.gone(level), said)


def _held(ranking: ScoredGroups, steps: Ladder, asked: int) -> str:
    """Return what keeps a group from an asked-for count: found by asking again without it."""
    spec, group = replace(ranking.spec, overrides=(), caps=(), cap_all=None), steps.group
    rest = group, ranking.scores[group.id], ranking.reserved
    free, uncapped = (ladder(ranking.graph, replace(spec, round_to=m), *rest, open_to=ranking.open_to) for m in (1, spec.round_to))
    if asked > free.order.size:
        return "a layer would have been emptied: its best channel stays"
    if uncapped.levels[uncapped.nearest(asked)] != steps.levels[steps.nearest(asked)]:
        return "a cap holds it"
    return f"what stays is a multiple of {spec.round_to}"


def _why_whole(ranking: ScoredGroups, layer: str) -> str:
    """Return why no channel of a layer can be chosen."""
    if within(layer, ranking.blocks):
        return "it goes with its whole block"
    known = ranking.graph.immovable.get(layer) or "; ".join(s for s in ranking.limits if s.startswith(layer))
    return known or ("the setting's units leave it out" if ranking.spec.units else "it cannot shrink")


def _check(spec: PruneSpec, group: Group, layer: str, share: float, other: tuple[str, float] | None) -> None:
    """Raise if an override contradicts what else is said of the layers that shrink together."""
    if other is not None and other[1] != share:
        raise PruningError(f"{other[0]} and {layer} shrink together: give them the same override, not {other[1]:g} and {share:g}")
    for partner in group.layers:
        if share > spec.cap(partner):
            raise PruningError(
                f"the override of {layer} asks for {share:g}, and {partner}, which shrinks together with it, has a cap of "
                f"{spec.cap(partner):g}: raise the cap or lower the override"
            )
