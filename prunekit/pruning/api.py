"""One call from a dense model and a setting to a pruned copy; and what one sample of it is: as given, of its data, or as its card says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import ModelError, SpecError
from prunekit.models.info import info
from prunekit.models.inputs import form_for
from prunekit.models.layers import prunable_layers
from prunekit.models.wrappers import unwrapped
from prunekit.pruning.execution import carry_out, mask, update
from prunekit.pruning.influence import check_influence, has_functions
from prunekit.pruning.proof import proved
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import CoupledGroup, coupled, trace
from prunekit.pruning.structured.plan import Plan, named_plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.n_m import rank
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, form_of_data
from prunekit.tasks.noted import told
from prunekit.tracking import LogTo, tracked

Inputs: TypeAlias = tuple[int, ...] | tuple[tuple[int, ...], ...] | Tensor | tuple[Any, ...] | dict[str, Any] | Batch


class HasTest(Protocol):
    """Data with a test split (and, for some criteria, a training split), as :func:`prunekit.load_data` returns."""

    @property
    def test(self) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
        """The test split."""


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


def graph_of(model: nn.Module, data: HasTest | None = None) -> ChannelGraph:
    """Return the couplings of a model, with the sample shape of its data, card or factory."""
    return trace(model, sample_shape(model, data))


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
    shape = info(model).input_shape
    if shape is None:
        raise ModelError("cannot tell what input this model takes: pass data for it, or input_shape")
    return form_for(model, shape)
