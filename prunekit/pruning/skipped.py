"""Which modules take no part in a setting, and why: a share of the prunable weights says nothing of their weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import ParametrizationList

from prunekit.config import fields as check
from prunekit.config.spec import PruneSpec
from prunekit.models.layers import channel_layers, inputs_of, prunable_layers, weight_name
from prunekit.models.meta_copy import PRUNABLE_TYPES
from prunekit.pruning.layer_selection import protected_layers
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import EXPERTS, ChannelGraph, Group
from prunekit.pruning.structured.plan import Plan, Removal

NOT_CHOSEN, INPUTS = "not chosen", "only its inputs go along"
STAYS = " stays whole: "
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
OTHER = "weights of its own that are multiplied with nothing as a matrix"


@dataclass(frozen=True)
class Skipped:
    """A module whose weights take no part in a setting.

    Attributes
    ----------
    name, type : str
        Module name and class; of a parameter that the model itself holds, its name and ``Parameter``.
    parameters : int
        How many it holds itself, in the dense model; shared ones count once.
    reason : str
        Why, in a few words.
    """

    name: str
    type: str
    parameters: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def skipped(model: nn.Module, spec: PruneSpec, chosen: Collection[str], plan: Plan | None = None) -> tuple[Skipped, ...]:
    """Return the modules that take no part, in order of definition.

    Together with the layers that do (their biases too, and the norms that follow them) they hold all parameters.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    spec : PruneSpec
        The setting.
    chosen : collection of str
        The layers whose weights are masked; of no meaning where there is a plan.
    plan : Plan, optional
        Of structured pruning: whatever could lose channels or goes with a block takes part, and so do the norms on them.
    """
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    reasons = dict(limit.split(STAYS, 1) for limit in (() if plan is None else plan.limits) if STAYS in limit)
    if spec.layers is None:
        reasons = {**protected_layers(model, spec.mode, None if plan is None else plan.graph.immovable), **reasons}
    if spec.mode == "nm":  # a layer of fewer inputs than a block stays whole
        m = check.pattern(spec.pattern)[1]
        short = {name: inputs for name in chosen if (inputs := inputs_of(model, name)) < m}
        reasons |= {name: f"{inputs} input{'s' * (inputs > 1)} make{'s' * (inputs == 1)} no block of {m}" for name, inputs in short.items()}
        chosen = set(chosen) - short.keys()
    part = _masked(model, chosen) if plan is None else _moving(plan.graph, plan.groups, plan.blocks)
    experts = set() if plan is None else _moving(plan.graph, [group for group in plan.groups if group.kind == EXPERTS])
    layers = channel_layers(model) if plan is not None else prunable_layers(model)
    found = []
    for name, module, own in _owners(model):
        fresh = {key: parameter for key, parameter in own.items() if first.get(id(parameter)) == key}
        named = [known for known in (name, *own) if known in layers]
        made = [pair for known in named for pair in _outputs(model, known, plan)]
        moves = [(first.get(id(parameter), ""), axis) for parameter in own.values() for axis in range(parameter.dim())]
        taking = any(pair in part for pair in (made or moves)) or not experts.isdisjoint(moves) or (plan is not None and name in plan.rows)
        if taking or not fresh or (plan is not None and within(name, plan.blocks)):
            continue
        reason = reasons.get(named[0], NOT_CHOSEN) if named else _kind(module, plan is not None)
        if named and any(axis in part for axis in moves):
            reason = f"{reason}; {INPUTS}"
        kind = type(module).__name__ if name or named == [""] else "Parameter"
        found.append(Skipped(name or next(iter(fresh)), kind, sum(p.numel() for p in fresh.values()), reason))
    return tuple(found)


def _outputs(model: nn.Module, layer: str, plan: Plan | None) -> list[tuple[str, int]]:
    """Return the axes of a layer's weight along which its outputs lie; all of them where single weights go."""
    weight = weight_name(model, layer)
    if plan is None:
        return [(weight, axis) for axis in range(model.get_parameter(weight).dim())]
    axis, groups = plan.graph.layouts.get(layer, (0, 1))
    return [(weight, axis), *([(weight, 0)] if groups > 1 else [])]


def _masked(model: nn.Module, chosen: Collection[str]) -> set[tuple[str, int]]:
    """Return the axes of the weights that are masked."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    weights = [model.get_parameter(weight_name(model, name)) for name in chosen]
    return {(first[id(weight)], axis) for weight in weights for axis in range(weight.dim())}


def _moving(graph: ChannelGraph, groups: Iterable[Group], blocks: tuple[str, ...] = ()) -> set[tuple[str, int]]:
    """Return the axes that may lose elements where groups do, whether or not they do."""
    return set(Removal(graph, np.concatenate([np.empty(0, np.int64), *(group.atoms for group in groups)]), blocks=blocks).masks)


def _owners(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, nn.Parameter]]]:
    """Yield every module that holds parameters, those from which its weights are computed among them."""
    for name, module in model.named_modules():
        if isinstance(module, ParametrizationList) or name.endswith(".parametrizations"):
            continue
        own = dict(module.named_parameters(name, recurse=False, remove_duplicate=False))
        if not name and type(module).__module__.partition(".")[0] != "torch":  # what the model itself holds: one by one
            for key, parameter in own.items():
                yield name, module, {key: parameter}
            continue
        if "parametrizations" in module._modules:
            inner = f"{name}.parametrizations" if name else "parametrizations"
            own |= dict(module.get_submodule("parametrizations").named_parameters(inner))
        if own:
            yield name, module, own


def _kind(module: nn.Module, structured: bool) -> str:
    """Return why weights of a kind take no part."""
    if isinstance(module, torch.jit.ScriptModule):
        return "a scripted part, a program that cannot be taken apart"
    if isinstance(module, PRUNABLE_TYPES):
        return "its weight is computed from other parameters"
    if isinstance(module, NORMS) or type(module).__name__.endswith("Norm"):
        return "it scales channels that stay" if structured else "norms are not pruned"
    return OTHER


def grouped(modules: Sequence[Skipped]) -> list[tuple[str, str, int, str]]:
    """Return rows for a table, modules of one class with one reason as one: name (``bn1 and 3 more``), class, parameters, reason."""
    kinds: dict[tuple[str, str], list[Skipped]] = {}
    for module in modules:
        kinds.setdefault((module.type, module.reason), []).append(module)
    rows = [
        (f"{same[0].name}{f' and {len(same) - 1:,} more' if same[1:] else ''}", kind, sum(m.parameters for m in same), reason)
        for (kind, reason), same in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row[2])
