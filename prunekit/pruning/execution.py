"""A setting carried out: masks on a copy, or a plan by surgery, proved, with zeros in place (soft), or counted alone; and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.attention.transformers_sizes import keep_in_step
from prunekit.models.cost import Counts, count, nonzeros
from prunekit.models.layers import owner_of_layer, prunable_layers, weight_of
from prunekit.pruning.influence import check_influence
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.proof import Proof, prove, require
from prunekit.pruning.result import Achieved, LayerResult, PackedMasks, PruneResult
from prunekit.pruning.skipped import skipped
from prunekit.pruning.structured.embedding_rows import embedding_tables
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.unstructured.allocation import named
from prunekit.pruning.unstructured.layer_by_layer import prune_layer_by_layer
from prunekit.pruning.unstructured.masks import Ranking, mask_in_place, masked_copy
from prunekit.pruning.unstructured.n_m import PatternRanking


def mask(
    model: nn.Module, ranking: Ranking | PatternRanking, spec: PruneSpec, shape: tuple[int, ...], data: Any = None, *,
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


def carry_out(model: nn.Module, plan: Plan, spec: PruneSpec, proof: Proof | None = None, *, consume: bool = False) -> PruneResult:
    """Carry out a structured plan, proved.

    Parameters
    ----------
    model : nn.Module
        The dense model that the plan was made for.
    plan : Plan
        What goes.
    spec : PruneSpec
        The setting behind it.
    proof : Proof, optional
        Of the same plan, where it is known already.
    consume : bool
        As for :func:`prune`.

    Raises
    ------
    ProofError
        If the proof does not pass.
    """
    if spec.soft:
        return _softly(model, plan, spec)
    proof = None if plan.empty else require(proof or prove(model, plan))
    before, left_out, layers = count(model, plan.graph.input_shape), skipped(model, spec, (), plan), layer_results(model, plan)
    achieved = achieved_by(plan, model)
    small = shrink(model, plan, consume=consume)
    after = count(small, plan.graph.input_shape)
    limits = plan.limits if not plan.empty else (*plan.limits, "no channel goes at this setting: there is nothing to prove")
    limits += (proof.note,) if proof is not None and proof.note else ()
    limits += keep_in_step(small)
    if any(hasattr(module, "disable_fake_quant") for module in small.modules()):
        limits += ("the model is prepared for quantisation: proved without its rounding; ranges and steps of a channel go with it",)
    return PruneResult(
        small, spec, plan.graph.input_shape, None, plan.kept, layers, before, after, achieved, proof, limits, plan, left_out
    )  # fmt: skip


def achieved_by(plan: Plan, model: nn.Module) -> Achieved:
    """Return what was reached of what was asked for: of rows where they alone were to go."""
    spec = plan.spec
    if not plan.rows or spec.sparsity or spec.threshold is not None or plan.blocks:
        return Achieved(plan.unit, spec.sparsity, plan.removed / max(plan.total, 1), plan.removed, plan.total)
    own = dict(spec.row_shares)
    tables = embedding_tables(model, plan.graph)
    rows = sum(table.rows for table in tables if not table.stays and own.get(table.name, spec.rows))
    gone = sum(int((~cut.keep).sum()) for cut in plan.rows.values())
    return Achieved("rows", spec.rows or None, gone / rows, gone, rows)


def _softly(model: nn.Module, plan: Plan, spec: PruneSpec) -> PruneResult:
    """Return the dense model with zeros where a plan removes channels; what keeps its shape needs no proof."""
    passed = [block.name for block in plan.graph.blocks if block.name in plan.blocks and not block.exact]
    if passed:
        raise PruningError(f"soft: {passed[0]} would not hand its input on with zeros in it, for it normalises its sum. Leave soft out")
    zeros = zeroed(model, plan)
    shape, layers = plan.graph.input_shape, layer_results(model, plan)
    achieved = Achieved(plan.unit, spec.sparsity, plan.removed / max(plan.total, 1), plan.removed, plan.total)
    limits = (*plan.limits, "soft: what goes is zero and keeps its place, so the model is no smaller; norms over channels count the zeros")
    return PruneResult(
        zeros, spec, shape, None, plan.kept, tuple(replace(layer, shape_after=layer.shape_before) for layer in layers), count(model, shape),
        count(zeros, shape), achieved, None, limits, plan, skipped(model, spec, (), plan),
    )  # fmt: skip


def layer_results(model: nn.Module, plan: Plan) -> tuple[LayerResult, ...]:
    """Describe every prunable layer before and after a plan, without carrying it out."""
    asked = {layer: plan.requested[group.id] for group in plan.groups for layer in group.layers}
    found = []
    for name, (before, after) in plan.layer_shapes.items():
        kind = type(owner_of_layer(model, name)).__name__
        sparsity = 1 - len(plan.kept[name]) / plan.graph.outputs[name].size
        rows = (plan.rows[name].keep.size, plan.rows[name].rows) if name in plan.rows else None
        found.append(LayerResult(name, kind, before, after, asked.get(name), sparsity, plan.kept[name], rows))
    return tuple(found)


def planned_counts(model: nn.Module, plan: Plan, before: Counts) -> tuple[int, int]:
    """Return parameters and MACs after a plan, from counts alone.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    plan : Plan
        What goes.
    before : Counts
        Of the dense model.

    Returns
    -------
    params, macs : int
        What the smaller model will have; exact.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return before.params - plan.removed_params(shapes), before.macs - plan.removed_macs()
