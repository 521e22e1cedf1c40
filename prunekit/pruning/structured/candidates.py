"""Which groups a structured setting may touch, and why it leaves others whole."""

from __future__ import annotations

from prunekit.errors import PruningError
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.depth import without

Limits = tuple[str, ...]


def scored_groups(
    groups: tuple[Group, ...], scores: dict[int, float], limits: Limits, blocks: tuple[str, ...] = ()
) -> tuple[tuple[Group, ...], Limits]:
    """Leave out the groups that the criterion tells nothing about, and say so; an error where nothing else goes."""
    known = tuple(group for group in groups if all(atom in scores for atom in group.atoms.tolist()))
    told = [
        f"{group.id} stays whole: no BatchNorm follows it, so that bn_scale has nothing to score it by"
        for group in groups
        if group not in known
    ]
    if groups and not known and not blocks:
        raise PruningError("nothing can be removed. " + "; ".join((*limits, *told)) + ". Choose criterion l1 or l2")
    return known, (*limits, *told)


def selected_groups(
    graph: ChannelGraph, chosen: tuple[str, ...], blocks: tuple[str, ...] = (), units: tuple[str, ...] | None = None
) -> tuple[tuple[Group, ...], tuple[Group, ...], Limits]:
    """Return the groups whose layers are all chosen, those of them that go with whole blocks, and why chosen layers stay whole.

    Parameters
    ----------
    graph : ChannelGraph
        The model's couplings.
    chosen : tuple of str
        Layers.
    blocks : tuple of str
        Residual blocks that go.
    units : tuple of str, optional
        Kinds of groups that may go; None for all.
    """
    left, lost = without(graph, blocks)
    offered, lost = (tuple(group for group in found if set(group.layers) <= set(chosen)) for found in (left, lost))
    groups, lost = (tuple(group for group in found if units is None or group.kind in units) for found in (offered, lost))
    withheld = tuple(group for group in offered if group not in groups)
    served = {name for group in offered for name in group.layers}
    limits = [*graph.limits, *_withheld(withheld)]
    for name in chosen:
        if name in served or within(name, blocks):
            continue
        partners = [other for group in left if name in group.layers for other in group.layers if other not in chosen]
        if name in graph.immovable:
            limits.append(f"{name} stays whole: {graph.immovable[name]}")
        elif partners:
            others = list(dict.fromkeys(partners))
            limits.append(
                f"{name} stays whole: it shrinks together with {', '.join(others)}, which {'are' if others[1:] else 'is'} not chosen"
            )
        else:
            limits.append(f"{name} stays whole: it has no channel that can go")
    if not groups and not blocks:
        advice = "other units, other layers" if withheld else "other layers"
        raise PruningError(f"nothing can be removed. {'; '.join(limits)}. Choose {advice}, or mode unstructured")
    return groups, lost, tuple(limits)


def _withheld(groups: tuple[Group, ...]) -> Limits:
    """Say which kinds of units the setting leaves whole, one sentence for each kind."""
    kinds: dict[str, list[str]] = {}
    for group in groups:
        kinds.setdefault(group.kind, []).append(group.layers[0])
    return tuple(
        f"all {kind} of {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} stay: the setting's units leave them out"
        for kind, names in kinds.items()
    )
