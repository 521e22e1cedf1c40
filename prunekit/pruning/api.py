"""One call from a dense model and a setting to a pruned copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import ModelError, PruningError, SpecError
from prunekit.models.attention.transformers_sizes import keep_in_step
from prunekit.models.cost import Counts, count, nonzeros
from prunekit.models.inputs import form_for
from prunekit.models.layers import owner_of_layer, prunable_layers, weight_of
from prunekit.models.wrappers import unwrapped
from prunekit.pruning.coupled_groups import CoupledGroup, coupled
from prunekit.pruning.influence import check_influence, has_functions
from prunekit.pruning.proof import Proof, prove, require
from prunekit.pruning.result import Achieved, LayerResult, PruneResult
from prunekit.pruning.skipped import skipped
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.embedding_rows import embedding_tables
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.named_channels import named_plan
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.stubborn import proved
from prunekit.pruning.unstructured.allocation import named
from prunekit.pruning.unstructured.layer_by_layer import prune_layer_by_layer
from prunekit.pruning.unstructured.masks import Ranking, mask_in_place, masked_copy
from prunekit.pruning.unstructured.n_m import PatternRanking, rank
from prunekit.pruning.unstructured.packed_masks import PackedMasks
from prunekit.pruning.zeroed_model import zeroed
from prunekit.tasks.base import told
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, form_of_data
from prunekit.tracking.logged import tracked
from prunekit.tracking.tracker import LogTo

Inputs: TypeAlias = tuple[int, ...] | tuple[tuple[int, ...], ...] | Tensor | tuple[Any, ...] | dict[str, Any] | Batch


class HasTest(Protocol):
    """Data with a test split (and, for some criteria, a training split), as :func:`prunekit.load_data` returns."""

    @property
    def test(self) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
        """The test split."""


def sample_shape(model: nn.Module, data: HasTest | None = None, input_shape: Inputs | None = None) -> tuple[int, ...]:
    """Return what one sample is: as given, of the data, as the model's card or factory says, or guessed."""
    if input_shape is not None:
        several: tuple[Any, ...] | list[Any] = input_shape if isinstance(input_shape, (tuple, list)) else ()
        if isinstance(input_shape, (dict, Batch, Tensor, InputForm)) or any(isinstance(each, Tensor) for each in several):
            form = input_shape if isinstance(input_shape, InputForm) else InputForm.of(input_shape)
            return tuple(form) if form.plain and not several else form
        if several and all(isinstance(each, (tuple, list)) for each in several):
            return InputForm.of_shapes(several)  # type: ignore[arg-type]
        if isinstance(input_shape, int) or not all(isinstance(side, int) and side > 0 for side in input_shape):
            raise SpecError(f"input_shape must be the shape of one sample, as in (3, 32, 32); got {input_shape!r}")
        return form_for(model, several)
    if data is not None:
        return form_of_data(data)
    if told(model, "example") is not None:
        return form_for(model)
    from prunekit.models.info import info  # noqa: PLC0415 (it loads torchvision, which a bare model does not need)

    shape = info(model).input_shape
    if shape is None:
        raise ModelError("cannot tell what input this model takes: pass data for it, or input_shape")
    return form_for(model, shape)


def prune(
    model: nn.Module,
    spec: PruneSpec,
    data: HasTest | None = None,
    *,
    input_shape: Inputs | None = None,
    consume: bool = False,
    log_to: LogTo = None,
) -> PruneResult:
    """Prune a copy of a model.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified unless it is to be consumed.
    spec : PruneSpec
        What to remove.
    data : Data, optional
        The model's data; tells the shape of a sample, and its training part serves the criteria that look at data.
    input_shape : tuple of int, Tensor, tuple or dict of tensors, or Batch, optional
        Shape of one sample, where there are no data; or, of a model that takes something else than one float tensor, inputs it accepts.
    consume : bool
        Use the model up: its weights are pruned where they are, or each is let go once what stays of it is copied, so that a large model
        never stands beside its copy. It is of no other use afterwards.
    log_to : Tracker or str, optional
        Told the setting and the counts: a tracker, or ``mlflow``, ``wandb`` or ``tensorboard`` (`prunekit.tracking.open_tracker`).

    Returns
    -------
    PruneResult
        The pruned copy with masks or kept indices, counts before and after, and the proof.

    Raises
    ------
    PruningError
        If the setting cannot be carried out on this model.
    DataError
        If the criterion looks at training data and there are none.
    ProofError
        If a surgery does not give what zeroing gives: there is no result then.

    Examples
    --------
    >>> import prunekit
    >>> model = prunekit.load_model("digits_cnn")
    >>> prunekit.prune(model, prunekit.PruneSpec(sparsity=0.9)).achieved.sparsity
    0.9
    """
    if not isinstance(spec, PruneSpec):
        raise SpecError(f"prune takes a PruneSpec, as in PruneSpec(sparsity=0.5); got {type(spec).__name__}")
    with tracked(log_to, f"{spec.mode} {spec.criterion}") as logged:
        logged.params({"spec": spec.to_dict()})
        result = _pruned(unwrapped(model), spec, data, input_shape, consume)
        logged.metrics(result.figures())
    return result


def _pruned(model: nn.Module, spec: PruneSpec, data: HasTest | None, input_shape: Inputs | None, consume: bool) -> PruneResult:
    """Prune a copy of a model that no wrapper hides."""
    # in inference mode fewer operations can be seen, so couplings would be missed, and the copy could never be trained
    with torch.inference_mode(False):
        shape = sample_shape(model, data, input_shape)
        if spec.mode == "structured":
            plan, proof = proved(model, lambda: plan_of(model, spec, shape, data), getattr(shape, "example", None))
            return carry_out(model, plan, spec, proof, consume=consume)
        if CRITERIA[spec.criterion].updates:
            return update(model, spec, shape, data, consume=consume)
        return mask(model, rank(model, spec, data, once=True), spec, shape, data, consume=consume)


def plan_of(model: nn.Module, spec: PruneSpec, shape: tuple[int, ...], data: HasTest | None = None) -> Plan:
    """Return what a structured setting removes, where a copy without it can differ from the dense model."""
    try:
        graph = trace(model, shape)
        plan = named_plan(graph, spec) if spec.indices else ChannelRanking.of(model, spec, graph, data).cut()
    except Exception:
        check_influence(model, prunable_layers(model), shape, data)  # it knows better, where copies go on using the model
        raise
    if graph.facts.held or has_functions(model):  # the proof asks for movement, but takes weights that stay whole from wherever they are
        check_influence(model, plan.shrunk, shape, data)
    return plan


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


def prune_indices(
    model: nn.Module, indices: Mapping[str, Sequence[int]], data: HasTest | None = None, *, input_shape: Inputs | None = None
) -> PruneResult:
    """Remove outputs of layers that are named, with everything that is coupled to them, from a copy of a model.

    Parameters
    ----------
    model : nn.Module
        The dense model; never modified.
    indices : mapping of str to sequence of int
        Layer name to the outputs that go, from 0.
    data, input_shape
        As for :func:`prune`.

    Returns
    -------
    PruneResult
        Proved as every other; its ``groups`` say what went along.

    Raises
    ------
    PruningError
        If a channel does not exist or cannot go, or a layer would be emptied.

    Examples
    --------
    >>> import prunekit
    >>> result = prunekit.prune_indices(prunekit.load_model("digits_cnn"), {"conv1": [0, 3]})
    >>> len(result.kept["conv1"])
    30
    """
    return prune(model, PruneSpec(mode="structured", indices=tuple(indices.items())), data, input_shape=input_shape)  # type: ignore[arg-type]


def groups(model: nn.Module, data: HasTest | None = None, *, input_shape: Inputs | None = None) -> tuple[CoupledGroup, ...]:
    """Return the coupled groups of a model.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    data, input_shape
        As for :func:`prunekit.prune`: what one sample is.

    Raises
    ------
    PruningError, ModelError
        If the model cannot be run.

    Examples
    --------
    >>> import prunekit
    >>> [(group.id, group.size) for group in prunekit.groups(prunekit.load_model("digits_cnn"))]
    [('conv1', 32), ('conv2', 64), ('fc1', 64)]
    """
    return coupled(trace(model, sample_shape(model, data, input_shape)))


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


def graph_of(model: nn.Module, data: HasTest | None = None) -> ChannelGraph:
    """Return the couplings of a model, with the sample shape of its data, card or factory."""
    return trace(model, sample_shape(model, data))


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
