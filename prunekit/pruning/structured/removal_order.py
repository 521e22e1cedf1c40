"""Scored groups with what overrides fix, and the order in which the other groups give."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.group_overrides import Fixed
from prunekit.pruning.structured.joint_removal import fixed_and_joint
from prunekit.pruning.structured.removal_turns import Stairs
from prunekit.pruning.structured.scored_groups import ScoredGroups


class RemovalOrder(ScoredGroups):
    """Scored groups, in the order in which a growing share is taken from them."""

    @cached_property
    def fixed(self) -> dict[str, Fixed]:
        """Group id -> what overrides and joint shares make of it."""
        return fixed_and_joint(self)

    @cached_property
    def stairs(self) -> Stairs:
        """The groups without an override, in the order in which they give."""
        return Stairs.of(tuple(found for name, found in self.ladders.items() if name not in self.fixed), self.spec.scope, self.forms)

    @cached_property
    def by_blocks(self) -> int:
        """What goes with whole blocks alone, in the target's unit."""
        return self.meter.removed(np.empty(0, dtype=np.int64)) if self.blocks else 0

    @cached_property
    def by_fixed(self) -> int:
        """What goes with whole blocks and overrides, in the target's unit."""
        atoms, _ = self.overridden()
        return self.meter.removed(atoms) if atoms.size or self.blocks else 0

    def overridden(self) -> tuple[Ids, list[str]]:
        """Return the atoms that overrides remove, and sentences on what rounding made of them."""
        atoms = np.concatenate([np.empty(0, dtype=np.int64), *(fixed.atoms for fixed in self.fixed.values())])
        return atoms, [*self.limits, *(fixed.limit for fixed in self.fixed.values() if fixed.limit)]

    def taken(self, levels: Ids, fixed: Ids) -> int:
        """Return how much goes at some levels of the stairs, overrides included, in the target's unit."""
        return self.meter.removed(np.concatenate([fixed, self.stairs.gone(levels)]))
