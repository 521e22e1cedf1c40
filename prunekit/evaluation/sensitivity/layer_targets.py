"""Targets of layers: one option of each at the least price (a multiple-choice knapsack), what they remove, and the setting that does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sensitivity.isolated_pruning import for_each
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELLS = 4000  # resolution of the allowed drop, or of the goal


def most_within(drops: Sequence[Floats], gains: Sequence[Floats], allowed: float) -> Ints:
    """Choose one option of each layer so that most is saved within an allowed drop.

    The multiple-choice knapsack, solved exactly on drops that are rounded up to a 4,000th of what is allowed.

    Index of the option of each layer. The sum of the drops is at most ``allowed``.
    """
    costs = [_cells(d, allowed) for d in drops]
    best, picks = np.zeros(CELLS + 1), []
    for cost, gain in zip(costs, gains, strict=True):
        tried = np.full((cost.size, CELLS + 1), -np.inf)
        for k, c in enumerate(cost.tolist()):
            if c <= CELLS:
                tried[k, c:] = best[: CELLS + 1 - c] + gain[k]
        picks.append(tried.argmax(0))  # of equal ones the first: what removes less
        best = tried.max(0)
    return _walk_back(picks, costs, CELLS)


def _cells(drops: Floats, allowed: float) -> Ints:
    """Return drops in 4,000ths of what is allowed, rounded up; one more than all of them for what is not allowed at all."""
    fits = drops <= allowed + 1e-9
    share = np.divide(drops, allowed, out=np.zeros_like(drops), where=fits & (drops > 0) & (allowed > 1e-9))
    return np.where(~fits, CELLS + 1, np.minimum(np.ceil(share * CELLS - 1e-9), CELLS)).astype(np.int64)


def least_for(drops: Sequence[Floats], gains: Sequence[Floats], goal: float) -> Ints:
    """Choose one option of each layer so that a goal is met at the least drop.

    As :func:`most_within`, exact on what is saved rounded down to a 4,000th of the goal.

    Index of the option of each layer; the last of all where the goal is out of reach.
    """
    cells = [np.minimum(np.floor(g * (CELLS / goal) + 1e-9), CELLS).astype(np.int64) for g in gains]
    best, picks = np.where(np.arange(CELLS + 1) > 0, np.inf, 0.0), []  # by what is still to be saved
    for cell, drop in zip(cells, drops, strict=True):
        need = np.maximum(np.arange(CELLS + 1)[None, :] - cell[:, None], 0)
        tried = best[need] + drop[:, None]
        picks.append(tried.argmin(0))
        best = tried.min(0)
    if not np.isfinite(best[CELLS]):
        return np.array([g.size - 1 for g in gains])
    return _walk_back(picks, cells, CELLS)


def _walk_back(picks: Sequence[Ints], steps: Sequence[Ints], cell: int) -> Ints:
    """Return the options that led to a cell."""
    found = []
    for pick, step in zip(reversed(picks), reversed(steps), strict=True):
        k = int(pick[cell])
        found.append(k)
        cell = max(cell - int(step[k]), 0)
    return np.array(found[::-1], dtype=np.int64)


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
