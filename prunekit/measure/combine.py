"""Targets for single layers and groups, carried out together: how they are counted, and the setting that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from prunekit.measure.alone import for_each
from prunekit.measure.sensitivity import Sensitivity
from prunekit.pruning import ChannelRanking, trace
from prunekit.pruning.removal import Removal
from prunekit.spec import PruneSpec


def counter(
    model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], data: Any = None
) -> Callable[[Mapping[str, float]], tuple[int, int]]:
    """Return what counts parameters and MACs that go when groups are pruned together; exact, and no tensor is touched.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    spec : PruneSpec
        The structured setting that sensitivity was measured for.
    shape : tuple of int
        Shape of one sample.
    data : Data, optional
        For criteria that look at training data.

    Returns
    -------
    callable
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


def together(found: Sensitivity, targets: Mapping[str, float], spec: PruneSpec) -> PruneSpec:
    """Return the setting that carries out targets for layers or groups, nothing else touched.

    Parameters
    ----------
    found : Sensitivity
        Tells the sizes of the layers or groups.
    targets : mapping of str to float
        Sparsity by layer or group; those at 0 stay whole.
    spec : PruneSpec
        Where mode, criterion, seed and samples come from.

    Returns
    -------
    PruneSpec
        With an override for each layer, and the total that they make up.
    """
    going = [layer for layer in found.layers if targets.get(layer.name, 0.0) > 0]
    removed = sum(round(targets[layer.name] * layer.size) for layer in going)
    return PruneSpec(
        mode=spec.mode, criterion=spec.criterion, seed=spec.seed, samples=spec.samples,
        layers=tuple(name for layer in going for name in layer.layers) or None,
        overrides=tuple((layer.layers[0], targets[layer.name]) for layer in going),
        sparsity=removed / max(sum(layer.size for layer in going), 1),
    )  # fmt: skip
