"""Scored groups with what overrides fix, and the order in which the other groups give."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from prunekit.errors import PruningError
from prunekit.pruning.layer_selection import JointShare, joint_shares
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.group_overrides import Fixed, fixed_groups
from prunekit.pruning.structured.removal_turns import Stairs
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
