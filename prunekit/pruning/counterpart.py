"""Shares of single layers in the other mode: what was set for weights, told of channels, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import nn

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.config.spec import PruneSpec
from prunekit.models.layers import channel_layers, prunable_layers, weight_of
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.ranking import ChannelRanking


@dataclass(frozen=True)
class Counterpart:
    """A setting of one mode with the ticks, shares and caps of another's."""

    spec: PruneSpec  # its total is raised to what the shares alone make up, and is that where no layer is left without one
    notes: tuple[str, ...] = ()  # what could not be carried over as it was, and why


def counterpart(model: nn.Module, spec: PruneSpec, like: PruneSpec, graph: ChannelGraph) -> Counterpart:
    """Return a setting with the ticks, overrides and caps of one of another mode.

    The same share of each layer goes, be it of its weights or of its outputs. Layers that shrink together lose the mean of their shares.
    """
    known = set(channel_layers(model) if like.mode == "structured" else prunable_layers(model))
    layers = None if spec.layers is None else tuple(name for name in spec.layers if name in known)
    caps = tuple((name, share) for name, share in spec.caps if name in known)
    bare = replace(like, layers=layers, caps=caps, cap_all=spec.cap_all, overrides=(), shares=() if like.mode == "nm" else spec.shares)
    if like.mode == "nm" or not spec.overrides:
        return Counterpart(bare)
    if like.mode == "structured":
        return _of_channels(model, dict(spec.overrides), bare, graph)
    return _of_weights(model, dict(spec.overrides), bare, graph)


def _of_channels(model: nn.Module, shares: Mapping[str, float], bare: PruneSpec, graph: ChannelGraph) -> Counterpart:
    """Return shares of weights as shares of outputs, the same for layers that shrink together."""
    chosen = set(chosen_layers(model, bare, graph.immovable)) | set(shares)
    found: dict[str, float] = {}
    carried: set[str] = set()
    notes = []
    for group in graph.groups:
        own = {name: shares[name] for name in group.layers if name in shares}
        if not own or not set(group.layers) <= chosen:
            continue
        share = min(sum(own.values()) / len(own), *(bare.cap(name) for name in group.layers))
        # a layer whose outputs go in two ways has one share for both
        found.setdefault(next((name for name in own if name in found), next(iter(own))), share)
        carried |= set(own)
        if len(set(own.values())) > 1:
            notes.append(f"{_named(own)} shrink together: each loses {100 * share:.3g} % of its channels, the mean of their shares")
    notes += list(_keeping_all_channels(shares, carried, graph))
    setting = replace(bare, overrides=tuple(found.items()))
    # how many go does not depend on the criterion, which may need data
    ranking = ChannelRanking.of(model, replace(setting, criterion=DEFAULT_CRITERION), graph)
    fixed = {name for group in graph.groups if set(group.layers) & set(found) for name in group.layers}
    free = sum(group.size for group in ranking.groups if not set(group.layers) & fixed)
    total = _total(bare, ranking.by_fixed, free, ranking.meter.total)
    return Counterpart(replace(setting, sparsity=total), tuple(notes))


def _total(bare: PruneSpec, taken: int, free: int, every: int) -> float:
    """Return the total that was asked for, as far as shares of single layers leave it open."""
    return min(max(bare.sparsity or 0.0, taken / every), (taken + free) / every) if free else taken / every


def _keeping_all_channels(shares: Mapping[str, float], carried: set[str], graph: ChannelGraph) -> Iterator[str]:
    """Say which layers lose weights and no channels, and why."""
    for name in shares:
        if name not in carried and shares[name] > 0:
            why = graph.immovable.get(name) or "what it shrinks together with is not ticked"
            yield f"{name} keeps all its channels: {why}"


def _of_weights(model: nn.Module, shares: Mapping[str, float], bare: PruneSpec, graph: ChannelGraph) -> Counterpart:
    """Return shares of outputs as shares of weights, for each layer of what shrinks together."""
    known, found = set(prunable_layers(model)), dict[str, float]()
    for name, share in shares.items():
        partners = {other for group in graph.groups if name in group.layers for other in group.layers} | {name}
        found |= {other: min(share, bare.cap(other)) for other in sorted(partners & known)}
    sizes = {name: weight_of(model, name).numel() for name in chosen_layers(model, replace(bare, overrides=tuple(found.items())))}
    taken = sum(round(share * sizes[name]) for name, share in found.items())
    free = sum(size for name, size in sizes.items() if name not in found)
    return Counterpart(replace(bare, overrides=tuple(found.items()), sparsity=_total(bare, taken, free, sum(sizes.values()))))


def _named(names: Mapping[str, float]) -> str:
    """Return names in a row."""
    *first, last = names
    return f"{', '.join(first)} and {last}"
