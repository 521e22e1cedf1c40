"""Masked models: an unstructured or N:M setting carried out, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.models.cost import Counts, count, nonzeros
from prunekit.models.layers import owner_of_layer, prunable_layers, weight_of
from prunekit.pruning.influence import check_influence
from prunekit.pruning.input_shape import HasTest
from prunekit.pruning.result import Achieved, LayerResult, PruneResult
from prunekit.pruning.skipped import skipped
from prunekit.pruning.unstructured.allocation import named
from prunekit.pruning.unstructured.layer_by_layer import prune_layer_by_layer
from prunekit.pruning.unstructured.masks import Ranking, mask_in_place, masked_copy
from prunekit.pruning.unstructured.n_m import PatternRanking
from prunekit.pruning.unstructured.packed_masks import PackedMasks


def mask(
    model: nn.Module, ranking: Ranking | PatternRanking, spec: PruneSpec, shape: tuple[int, ...], data: HasTest | None = None, *,
    consume: bool = False,
) -> PruneResult:  # fmt: skip
    """Carry out an unstructured or N:M setting on weights that are ranked already.

    Raises
    ------
    PruningError
        If the masked model would give what the dense one gives, whatever goes.
    """
    masks = PackedMasks(ranking.each_mask(ranking.cut(spec.sparsity) if spec.threshold is None else ranking.cut()))
    seen, names = ranking.unused.setdefault(model, {}), tuple(name for name, count in masks.removed.items() if count)
    if names not in seen:
        seen[names] = check_influence(model, names, shape, data)
    before = count(model, shape)
    pruned = mask_in_place(model, masks) if consume else masked_copy(model, masks)
    return _masked(before, pruned, masks, ranking, spec, shape, seen[names])


def update(model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], data: Any = None, *, consume: bool = False) -> PruneResult:
    """Carry out an unstructured or N:M setting by a criterion that also updates kept weights; parameters and errors as for `mask`."""
    check_influence(model, prunable_layers(model), shape, data)
    before = count(model, shape)
    pruned, masks, asked = prune_layer_by_layer(model, spec, data, consume=consume)
    return _masked(before, pruned, masks, asked, spec, shape)


def _masked(  # noqa: PLR0917 (a model before and after, and what was asked)
    before: Counts, pruned: nn.Module, masks: PackedMasks, ranking: Ranking | PatternRanking, spec: PruneSpec, shape: tuple[int, ...],
    unused: tuple[str, ...] = (),
) -> PruneResult:  # fmt: skip
    """Put together what became of a model."""
    after = count(pruned, shape)
    removed = sum(masks.removed.values())
    asked = ranking.requested(spec)
    layers = tuple(_masked_layer(pruned, name, asked.get(name)) for name in prunable_layers(pruned))
    limits = (*ranking.limits(spec), *unused, *emptied(ranking.sizes, masks.removed))
    achieved = Achieved("weights", spec.sparsity, removed / max(masks.total, 1), removed, masks.total)
    left_out = skipped(pruned, spec, tuple(ranking.sizes))
    return PruneResult(pruned, spec, shape, masks, None, layers, before, after, achieved, None, limits, skipped=left_out)


def emptied(sizes: Mapping[str, int], removed: Mapping[str, int]) -> tuple[str, ...]:
    """Name the layers that lose all their weights in a sentence; none where every layer keeps some."""
    gone = [name for name, size in sizes.items() if size and removed[name] == size]
    if len(gone) < 2:
        return tuple(f"{name} lost all its weights: the output no longer depends on what enters it" for name in gone)
    return (f"{len(gone)} layers lost all their weights ({named(gone)}): the output no longer depends on what enters them",)


def _masked_layer(pruned: nn.Module, name: str, requested: float | None) -> LayerResult:
    """Describe one layer of a masked model."""
    weight = weight_of(pruned, name)
    zeros = 1 - nonzeros(weight) / max(weight.numel(), 1)
    kind = type(owner_of_layer(pruned, name)).__name__
    return LayerResult(name, kind, tuple(weight.shape), tuple(weight.shape), requested, zeros, None)
