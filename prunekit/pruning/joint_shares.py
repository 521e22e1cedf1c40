"""Shares that several layers have together: which layers a name, a block or a pattern means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import unknown_layers


@dataclass(frozen=True)
class JointShare:
    """One share of several layers.

    Attributes
    ----------
    key : str
        As it was written: names of layers, blocks or patterns, with commas between them.
    share : float
        What all together lose.
    named : frozenset of str
        Layers that are named themselves: what shrinks with any of them counts.
    within : frozenset of str
        Those and the layers of blocks and patterns: what shrinks with these alone counts.
    """

    key: str
    share: float
    named: frozenset[str]
    within: frozenset[str]

    def holds(self, layers: Collection[str]) -> bool:
        """Whether layers that shrink together count in it."""
        return bool(self.named & set(layers)) or self.within.issuperset(layers)


def joint_shares(spec: PruneSpec, known: Collection[str]) -> tuple[JointShare, ...]:
    """Return the joint shares of a setting, for the layers that a model has.

    Raises
    ------
    PruningError
        If a name means no layer, or two shares mean the same one.
    """
    found: list[JointShare] = []
    for key, share in spec.shares:
        parts = key.split(",")
        meant = {part: [name for name in known if _meant(part, name)] for part in parts}
        nothing = [part for part, names in meant.items() if not names]
        if nothing:
            raise PruningError(unknown_layers(dict.fromkeys(nothing), tuple(known)))
        named = frozenset(part for part in parts if part in known)
        found.append(JointShare(key, share, named, frozenset(name for names in meant.values() for name in names)))
    _check_apart(found, dict(spec.overrides))
    return tuple(found)


def layers_of(joint: Iterable[JointShare], chosen: Collection[str]) -> set[str]:
    """Return the layers that joint shares choose besides those that are chosen: named ones, and all of a block of which none is chosen."""
    return {name for each in joint for name in (each.named if each.within & set(chosen) else each.within)}


def _meant(part: str, name: str) -> bool:
    """Whether a name, a block or a pattern means a layer."""
    return name == part or name.startswith(f"{part}.") or fnmatchcase(name, part)


def _check_apart(found: list[JointShare], overrides: dict[str, float]) -> None:
    """Raise where a layer has two shares."""
    seen = dict.fromkeys(overrides, "an override of its own")
    for each in found:
        for name in sorted(each.within):
            if name in seen:
                raise PruningError(f"{name} is part of the share of {each.key} and has {seen[name]}: give it one of them")
            seen[name] = f"that of {each.key}"
