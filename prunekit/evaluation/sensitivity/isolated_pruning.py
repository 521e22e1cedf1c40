"""What each layer or group loses when it is pruned alone, at several sparsities: scored once, zeroed many times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.models.cost import layer_table
from prunekit.models.layers import prunable_layers, weight_name
from prunekit.pruning.influence import check_influence
from prunekit.pruning.masked_reference import removed_mask, zeroes_do
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan, Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import by_tensor
from prunekit.pruning.unstructured.masks import Ranking


@dataclass(frozen=True)
class Cutting:
    """What goes at one sparsity of one layer or group."""

    # requested, sparsity: share asked for and share that goes: of the layer's weights, or of the group's removable channels
    requested: float
    sparsity: float
    removed: int  # weights or channels that go; weights that are zero already among them
    # params, macs: parameters and MACs of the whole model that are saved: those of the weights that become zero, or of the smaller model
    params: int
    macs: int


class Alone(ABC):
    """One layer or group that can be pruned alone."""

    name: str
    layers: tuple[str, ...]  # layers that shrink together; the layer itself where single weights go
    params: int  # params, macs: parameters (weights and biases) of these layers, and their MACs for one sample
    macs: int
    cuttings: tuple[Cutting, ...]  # by ascending sparsity

    @property
    @abstractmethod
    def touched(self) -> tuple[str, ...]:
        """Names in the state dict of all that loses something."""

    @abstractmethod
    def gone(self, index: int) -> Iterator[tuple[str, Tensor]]:
        """Yield name and mask, True where values become zero, for one of the cuttings."""

    def removal(self, index: int) -> Removal | None:
        """Return the plan where zeros alone are not equal to removal: under a norm over channels."""
        return None


@dataclass(frozen=True, eq=False)
class AloneWeights(Alone):
    """A layer that loses single weights. ``stays`` counts for each weight at how many of the sparsities it is still there."""

    name: str
    layers: tuple[str, ...]
    params: int
    macs: int
    cuttings: tuple[Cutting, ...]
    stays: Tensor
    weight: str

    @property
    def touched(self) -> tuple[str, ...]:
        """Name of the weight."""
        return (self.weight,)

    def gone(self, index: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the one mask."""
        yield self.weight, self.stays <= index


@dataclass(frozen=True, eq=False)
class AloneChannels(Alone):
    """A group that loses channels: everything that surgery removes becomes zero, and norms use kept channels alone."""

    name: str
    layers: tuple[str, ...]
    params: int
    macs: int
    cuttings: tuple[Cutting, ...]
    plans: tuple[Plan, ...]

    @property
    def touched(self) -> tuple[str, ...]:
        """Names of all that loses channels at any sparsity."""
        return tuple(dict.fromkeys(name for plan in self.plans for name, _ in plan.masks))

    def gone(self, index: int) -> Iterator[tuple[str, Tensor]]:
        """Yield what :func:`prunekit.pruning.masked_reference.zeroed` zeroes for the plan."""
        plan = self.plans[index]
        for name, keeps in by_tensor(plan.masks).items():
            shape = tuple(int(size) for size in _lengths(plan, name))
            yield name, removed_mask(shape, keeps)

    def removal(self, index: int) -> Removal | None:
        """Return the plan, where norms of the dense model have to use kept channels alone."""
        return None if zeroes_do(self.plans[index]) else self.plans[index]


def _lengths(plan: Plan, name: str) -> list[int]:
    """Return the dense shape of a state entry."""
    axes = plan.graph.facts.axes
    found: list[int] = []
    while (name, len(found)) in axes:
        found.append(axes[name, len(found)].size)
    return found


def for_each(model: nn.Module, spec: PruneSpec) -> PruneSpec:
    """Return the setting under which every layer or group is cut by its own scores alone."""
    layers = spec.layers or prunable_layers(model) or None
    return PruneSpec(mode=spec.mode, criterion=spec.criterion, scope="uniform", seed=spec.seed, samples=spec.samples, layers=layers)


def alone(model: nn.Module, spec: PruneSpec, sparsities: Sequence[float], shape: tuple[int, ...], data: Any = None) -> tuple[Alone, ...]:
    """Return each layer or group of a setting with what it loses when it is pruned alone."""
    if spec.mode == "nm":
        raise PrunekitError("a pattern has one sparsity: choose mode unstructured or structured to see how sensitive each layer is")
    plain = for_each(model, spec)
    points = sorted({float(plain.at(s).sparsity or 0.0) for s in sparsities})
    if not points:
        raise PrunekitError("give at least one sparsity, as in 0.1,0.5,0.9")
    table = layer_table(model, shape).set_index("name")
    costs = {name: (int(table["params"][name]), int(table["macs"][name])) for name in table.index}
    if spec.mode == "unstructured":
        ranking = Ranking.of(model, plain, data)
        check_influence(model, ranking.shapes, shape, data)
        return _weights(model, ranking, points, costs)
    return _channels(ChannelRanking.of(model, plain, trace(model, shape), data), points, costs)


Costs = dict[str, tuple[int, int]]


def _weights(model: nn.Module, ranking: Ranking, points: list[float], costs: Costs) -> tuple[Alone, ...]:
    """Each layer takes its own share of its own weights."""
    stays = {name: torch.zeros(size, dtype=torch.uint8 if len(points) < 256 else torch.int16) for name, size in ranking.shapes.items()}
    removed = []
    for sparsity in points:
        cut = ranking.cut(sparsity)
        removed.append(ranking.removed(cut))
        for name, mask in ranking.masks(cut).items():
            stays[name] += mask
    found = []
    for name, size in ranking.sizes.items():
        params, macs = costs[name]
        new = [counts[name] - ranking.zeros[name] for counts in removed]
        cuttings = (
            Cutting(s, counts[name] / size, counts[name], fresh, round(macs * fresh / size))
            for s, counts, fresh in zip(points, removed, new, strict=True)
        )
        found.append(AloneWeights(name, (name,), params, macs, tuple(cuttings), stays[name], weight_name(model, name)))
    return tuple(found)


def _channels(ranking: ChannelRanking, points: list[float], costs: Costs) -> tuple[Alone, ...]:
    """Each group is cut as if it were the only one."""
    found = []
    for group in ranking.groups:
        single = replace(ranking, groups=(group,), scores={group.id: ranking.scores[group.id]})
        plans = tuple(single.cut(sparsity) for sparsity in points)
        cuttings = (
            Cutting(s, plan.removed / group.size, plan.removed, plan.removed_params(ranking.shapes), plan.removed_macs())
            for s, plan in zip(points, plans, strict=True)
        )
        params, macs = (int(np.sum([costs.get(name, (0, 0))[i] for name in group.layers])) for i in (0, 1))
        found.append(AloneChannels(group.id, group.layers, params, macs, tuple(cuttings), plans))
    return tuple(found)
