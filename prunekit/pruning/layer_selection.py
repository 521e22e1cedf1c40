"""Which layers a setting works on, and which it leaves alone unless told otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.conv import _ConvNd

from prunekit.config.spec import PruneSpec
from prunekit.errors import OutOfReach, PruningError
from prunekit.models.layers import channel_layers, owner_of_layer, prunable_layers, unknown_layers
from prunekit.models.meta_copy import check_plain


@dataclass(frozen=True)
class JointShare:
    """One share of several layers."""

    key: str  # as it was written: names of layers, blocks or patterns, with commas between them
    share: float  # what all together lose
    named: frozenset[str]  # layers that are named themselves: what shrinks with any of them counts
    within: frozenset[str]  # those and the layers of blocks and patterns: what shrinks with these alone counts

    def holds(self, layers: Collection[str]) -> bool:
        """Whether layers that shrink together count in it."""
        return bool(self.named & set(layers)) or self.within.issuperset(layers)


def joint_shares(spec: PruneSpec, known: Collection[str]) -> tuple[JointShare, ...]:
    """Return the joint shares of a setting, for the layers that a model has."""
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


STEM_REASON = "the stem sees the raw input and has few channels: each one feeds everything that follows"
SAME = 5e-3  # of all: a total that overrides of every layer need not match
OF_THE_ANSWER = "these are the model's outputs"
"""Why a layer is immovable whose outputs the model returns."""
CLASSIFIER_REASON = "its outputs are the answer of the model: none of them can go"


def protected_layers(model: nn.Module, mode: str, immovable: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the layers that are unticked by default, each with the reason.

    Parameters
    ----------
    model : nn.Module
        Any model.
    mode : {"unstructured", "nm", "structured"}
        Nothing is protected where single weights go. In structured mode the stem (the first layer, if it is a
        convolution) and whatever gives the answer are: the last layer, unless outputs of it can go, and all heads beside it.
    immovable : mapping of str to str, optional
        Layers no output of which can go, with the reason, as ``ChannelGraph.immovable`` has them; left out, the last layer counts as one.

    Returns
    -------
    dict of str to str
        Layer name to reason.
    """
    layers = prunable_layers(model)
    if mode != "structured" or not layers:
        return {}
    first = {layers[0]: STEM_REASON} if isinstance(owner_of_layer(model, layers[0]), _ConvNd) else {}
    held = {layers[-1]: OF_THE_ANSWER} if immovable is None else immovable
    heads = [name for name in layers if name in held and (name == layers[-1] or held[name] == OF_THE_ANSWER)]
    return {**first, **dict.fromkeys(heads, CLASSIFIER_REASON)}


def default_layers(model: nn.Module, mode: str, immovable: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the layers that a setting prunes when it names none: all that are not protected."""
    protected = protected_layers(model, mode, immovable)
    return tuple(name for name in prunable_layers(model) if name not in protected)


def chosen_layers(model: nn.Module, spec: PruneSpec, immovable: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the layers that a setting works on, in order of definition.

    A layer with an override is chosen by it, one with a cap alone is not. In structured mode attention that holds its packed rows itself
    is chosen with the layer behind it, whose inputs its heads are, unless the setting's layers name such attention. Of ``immovable`` as
    `protected_layers` has it.

    Raises
    ------
    PruningError
        If a named layer does not exist, or nothing is left to prune.
    ModelError
        If a layer's weight is not a plain parameter.
    """
    check_plain(model)
    known = channel_layers(model) if spec.mode == "structured" else prunable_layers(model)
    fixed = [name for name, _ in spec.overrides]
    own = {name: [layer for layer in known if layer.rpartition(".")[0] == name and name not in known] for name in spec.layers or ()}
    told = [layer for name, weights in own.items() for layer in weights or [name]]  # a recurrent layer's name stands for all its weights
    ticked = default_layers(model, spec.mode, immovable) if spec.layers is None else told
    along = with_attention(known, ticked) if spec.mode == "structured" else set(ticked)
    named = along | set(fixed) | layers_of(joint_shares(spec, known), ticked)
    unknown = [name for name in (*told, *fixed, *dict(spec.caps)) if name not in known]
    if unknown:
        raise PruningError(unknown_layers(dict.fromkeys(unknown), known))
    if not named:
        raise PruningError(f"nothing to prune: the model has no layer that {spec.mode} pruning may touch by default; name layers")
    return tuple(name for name in known if name in named)


def with_attention(known: Iterable[str], named: Iterable[str]) -> set[str]:
    """Return named layers with the attention that is chosen along."""
    behind = {name: f"{name}.out_proj" for name in known}
    packed = {name for name, out in behind.items() if out in set(known)}
    named = set(named)
    return named if named & packed else named | {name for name in packed if behind[name] in named}


def share_out(total: int, sizes: dict[str, int], fixed: dict[str, int], what: str) -> int:
    """Return how many the layers without an override have to give, so that all together give ``total``."""
    everything, taken = sum(sizes.values()), sum(fixed.values())
    free = sum(size for name, size in sizes.items() if name not in fixed)
    rest = total - taken
    if not free and abs(rest) <= max(SAME * everything, 1 + len(fixed) / 2):
        return 0  # every layer has an override: what they make up is the total, and asked for but for each one's rounding
    if rest < 0:
        raise OutOfReach.at(taken / everything, what, more=True)
    if rest > free:
        raise OutOfReach.at((taken + free) / everything, what, more=False)
    return rest
