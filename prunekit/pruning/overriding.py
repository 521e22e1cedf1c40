"""What overrides of single layers mean for the groups in which they shrink, and which of them contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.errors import PruningError
from prunekit.pruning.groups import Group
from prunekit.pruning.lengths import within
from prunekit.spec import PruneSpec

if TYPE_CHECKING:
    from prunekit.pruning.channels import ChannelRanking


def fixed_shares(ranking: ChannelRanking) -> dict[str, float]:
    """Return group id -> sparsity that an override sets.

    Parameters
    ----------
    ranking : ChannelRanking
        Its setting, groups and blocks count.

    Raises
    ------
    PruningError
        If an override cannot be honoured, or contradicts another one or a cap.
    """
    found: dict[str, tuple[str, float]] = {}
    for layer, share in ranking.spec.overrides:
        hits = [group for group in ranking.groups if layer in group.layers]
        if not hits:
            raise PruningError(f"the override of {layer} cannot be honoured: {_why_whole(ranking, layer)}")
        for group in hits:
            _check(ranking.spec, group, layer, share, found.get(group.id))
            found[group.id] = (layer, share)
    return {group: share for group, (_, share) in found.items()}


def _why_whole(ranking: ChannelRanking, layer: str) -> str:
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
