"""Targets for single layers and groups, carried out together: how they are counted, and the setting that does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sensitivity.isolated_pruning import for_each
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking


def counter(
    model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], data: Any = None
) -> Callable[[Mapping[str, float]], tuple[int, int]]:
    """Return what counts parameters and MACs that go when groups are pruned together; exact, and no tensor is touched.

    From sparsities by group to parameters and MACs.
    """
    ranking = ChannelRanking.of(model, for_each(model, spec), trace(model, shape), data)
    singles = {g.id: replace(ranking, groups=(g,), scores={g.id: ranking.scores[g.id]}) for g in ranking.groups}
    known: dict[tuple[str, float], np.ndarray[Any, np.dtype[np.int64]]] = {}

    def atoms(name: str, sparsity: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        if (name, sparsity) not in known:
            known[name, sparsity] = singles[name].cut(sparsity).atoms
        return known[name, sparsity]

    def counted(targets: Mapping[str, float]) -> tuple[int, int]:
        picked = [atoms(name, sparsity) for name, sparsity in targets.items() if sparsity > 0]
        removal = Removal(ranking.graph, np.concatenate([np.empty(0, np.int64), *picked]))
        return removal.removed_params(ranking.shapes), removal.removed_macs()

    return counted


def together(  # noqa: PLR0917 (what was measured and is wanted, and the model for it)
    found: Sensitivity, targets: Mapping[str, float], spec: PruneSpec, model: nn.Module, shape: tuple[int, ...], data: Any = None
) -> PruneSpec:
    """Return the setting that carries out targets for layers or groups, nothing else touched."""
    going = [layer for layer in found.layers if targets.get(layer.name, 0.0) > 0]
    removed = sum(round(targets[layer.name] * layer.size) for layer in going)
    stay: dict[str, float] = {}
    for layer in going:
        stay[layer.layers[0]] = stay.get(layer.layers[0], 1.0) * (1 - targets[layer.name])
    alone = {name for name, ways in Counter(layer.layers[0] for layer in found.layers).items() if ways == 1}
    setting = PruneSpec(
        mode=spec.mode, criterion=spec.criterion, seed=spec.seed, samples=spec.samples,
        layers=tuple(dict.fromkeys(name for layer in going for name in layer.layers)) or None,
        overrides=tuple((layer.layers[0], targets[layer.name]) for layer in going if layer.layers[0] in alone)
        + tuple((name, 1 - left) for name, left in stay.items() if name not in alone),
        sparsity=removed / max(sum(layer.size for layer in going), 1),
    )  # fmt: skip
    if spec.mode != "structured":
        return setting
    # layers open other groups along, which stay: the total is what the overrides make of the whole, no more
    ranking = ChannelRanking.of(model, setting, trace(model, shape), data)
    return replace(setting, sparsity=ranking.by_fixed / ranking.meter.total)
