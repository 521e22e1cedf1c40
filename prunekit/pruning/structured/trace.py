"""Seeing the network: one forward pass on the meta device tells which channels are coupled.

Every operation is seen by a ``TorchDispatchMode``, below the model's Python: no symbolic tracing, so control flow that does not depend on
values is fine, and parameters are told apart by identity. Evaluation and training mode are solved together, keyed by parameter,
so that what only trains (auxiliary heads) shrinks along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from prunekit.errors import PruningError
from prunekit.models.attention.heads import adapter_of
from prunekit.models.attention.transformers_sizes import cuts_by_numbers
from prunekit.models.branches import Along, Path, along, branches_of
from prunekit.models.cost import count_on
from prunekit.models.layers import LOOKED_UP
from prunekit.models.meta_copy import locating, meta_copy
from prunekit.models.outputs import answers_of
from prunekit.models.widths import told_elsewhere
from prunekit.models.wrappers import exact
from prunekit.pruning.layer_selection import OF_THE_ANSWER
from prunekit.pruning.structured.axis_tracker import Tracker
from prunekit.pruning.structured.coupling_solver import Ids, Variables
from prunekit.pruning.structured.dry_run import listed, without_which_it_runs
from prunekit.pruning.structured.input_forms import LIBRARIES, Form, forms_of
from prunekit.pruning.structured.operation_calls import Call, Calls, Notes
from prunekit.pruning.structured.operation_watcher import Watcher
from prunekit.pruning.structured.residual_blocks import Blocks
from prunekit.pruning.structured.trace_errors import stopped
from prunekit.pruning.structured.trace_facts import Axis, Facts, Number
from prunekit.tasks.input_form import AROUND, answer, zeros


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def observe(model: nn.Module, input_shape: tuple[int, ...]) -> Facts:
    """Run the model on the meta device and collect what its operations say about its channels."""
    try:
        return _observed(model, input_shape, None)
    except PruningError:
        path = branches_of(model, input_shape)
        if not path:
            raise
        return _observed(model, input_shape, path)


def _observed(model: nn.Module, input_shape: tuple[int, ...], path: Path | None) -> Facts:
    """Run the model along a path through its branches, and along others beside."""
    meta = exact(meta_copy(model))
    if path is not None:
        meta.__dict__[AROUND] = Along(path)
    variables = Variables()
    state = _state(meta)
    axes = {(name, axis): variables.fresh(size) for name, tensor in state.items() for axis, size in enumerate(tensor.shape)}
    tracker = Tracker(variables)
    for name, tensor in state.items():
        tracker.put(tensor, [axes[name, axis] for axis in range(tensor.dim())])
    tracker.cutting = {name for name, module in meta.named_modules() if cuts_by_numbers(module)}
    tracker.kept_by = lambda name: {value for value in vars(meta.get_submodule(name)).values() if type(value) is int and value > 1}
    tracker.rehearsed = any(type(module).__module__.partition(".")[0] not in LIBRARIES for module in meta.modules())
    tracker.owners = {id(each.weight): name for name, each in meta.named_modules() if isinstance(each, _ConvNd)}
    tracker.convolutions = set(tracker.owners.values())
    blocks = Blocks(meta)
    recurrent = {name for name, module in meta.named_modules() if isinstance(module, (nn.RNNBase, nn.RNNCellBase))}
    named, dense = ({id(tensor): name for name, tensor in of.items()} for of in (state, _state(model)))
    watcher = Watcher(tracker, named, dense, blocks, recurrent)
    watcher.uses = {watcher.names[id(each.weight)]: set() for each in meta.modules() if isinstance(each, LOOKED_UP)}
    with blocks.watching():
        _pass(meta, input_shape, tracker, watcher)
    count_on(model, meta, input_shape)
    offered = without_which_it_runs(meta, blocks.found, input_shape)
    notes, watcher.first = tracker.notes, False
    assert notes is not None
    further = forms_of(model, input_shape, trains_more=any(name not in watcher.seen for name, _ in meta.named_parameters()))
    forms = tuple(_other_forms((model, meta), (*further, *_other_branches(meta, input_shape, path or {})), tracker, watcher, notes))
    for buffer, weight, axis in _ranges(meta):
        watcher.seen.add(buffer)
        variables.tie(axes[buffer, 0], axes[weight, axis], "fake quantisation")
    for (name, _), found in axes.items():
        if name not in watcher.seen:
            variables.freeze(found, "it takes no part in a forward pass")
    _freeze_single(variables, axes)
    tracker.settle()
    for name, axis, reason in _closed(meta):
        variables.freeze(axes[name, axis], reason)
    for (name, axis), found in axes.items():  # torch wants more hidden units than a projection has
        owner, _, own = name.rpartition(".")
        if axis == 1 and own.startswith("weight_hr_") and isinstance(rnn := meta.get_submodule(owner), nn.LSTM):
            tracker.several.append((found, rnn.proj_size + 1))
    _leave_unread(watcher, variables)
    products, splits = tuple(watcher.products), frozenset(tracker.splits)
    names = watcher.names
    outputs = {names[key]: found for key, (_, found) in tracker.made.items() if key in names}
    return Facts(
        *(variables, axes, tracker.grouped, watcher.seen, watcher.unknown, notes, products, splits, offered, outputs),
        *(tracker.lengths, tuple(tracker.heads), (*tracker.routes, *tracker.several), tuple(tracker.multiples), watcher.records),
        *(forms, _kept_beside(meta, tracker.grids), path, tuple(sorted(watcher.held)), watcher.uses),
        pieces=tuple(tracker.pieces), experts=tuple(tracker.experts),
    )  # fmt: skip


def _leave_unread(watcher: Watcher, variables: Variables) -> None:
    """Let zeros that nothing reads be of any width in a smaller copy."""
    if watcher.blank:
        read = np.zeros(variables.count, np.bool_)
        for a, b, _ in variables.ties:
            read[a] = read[b] = True
        for out, a, b in variables.ors:
            read[out] = read[a] = read[b] = True
        for ids, _ in variables.frozen:
            read[ids] = True
        for call in watcher.blank:
            record = watcher.records[call]
            made = tuple(tuple(ids if ids is not None and read[ids].any() else None for ids in axes) for axes in record.axes)
            watcher.records[call] = replace(record, axes=made)


WIDE = ("dim", "width", "size", "channels", "features")  # in the names of numbers that say how wide each head is, not how many there are


def _kept_beside(meta: nn.Module, grids: Mapping[str, Sequence[Ids]]) -> dict[Number, tuple[Ids, ...]]:
    """Return the numbers that modules keep beside their layers and that are as long as axes of their grids, with those axes."""
    found: dict[Number, tuple[Ids, ...]] = {}
    for name, axes in grids.items():
        module = meta.get_submodule(name)
        if adapter_of(module) is None and not told_elsewhere(module):
            for attribute, value in vars(module).items():
                alike = [ids for ids in axes if ids.size == value] if type(value) is int and value > 1 else []
                if alike:
                    found[name, attribute] = tuple(reversed(alike) if any(word in attribute for word in WIDE) else alike)
    return found


BRANCHES = 8  # of so many truth values that forward() asks for, the other answer is followed too


def _other_branches(meta: nn.Module, input_shape: tuple[int, ...], path: Path) -> Iterator[Form]:
    """Yield the forms in which one truth value after another is answered otherwise."""
    before: Path = {}
    for question, said in list(path.items())[:BRANCHES]:
        with along(meta, {**before, question: not said}) as way:
            if listed(meta, input_shape) is not None:  # else it is a check, that stops
                yield Form(f"another branch in {question[0] or 'forward()'}", input_shape, 2, path=way.asked)
        before[question] = said


def _other_forms(
    models: tuple[nn.Module, nn.Module], forms: Iterable[Form], tracker: Tracker, watcher: Watcher, notes: Notes
) -> Iterator[tuple[Form, Notes]]:
    """Yield the further forms in which a model runs, given with its copy without values; whatever else it does in them is traced too."""
    model, meta = models
    taken, usual = set[str](), _that_matter(meta, watcher.records)
    for each in forms:
        if each.name in taken and each.path is None:
            continue
        form = each
        with form.on(meta):
            made = listed(meta, form.shape)
        if made is None and form.training and (path := branches_of(model, form.shape, form.on)):  # of what is checked there alone
            form = replace(form, path=path)
            with form.on(meta):
                made = listed(meta, form.shape)
        with form.on(meta):
            if made is None:  # a model that wants targets while training, for one: what only runs there stays whole
                continue
            taken.add(form.name)
            if _that_matter(meta, made) == usual:
                if not form.training:
                    yield form, notes
                continue
            tracker.notes, tracker.calls = Notes(), Calls()
            with suppress(PruningError):
                _pass(meta, form.shape, tracker, watcher)
                yield form, tracker.notes


def _that_matter(meta: nn.Module, calls: Iterable[Call]) -> set[Call]:
    """Return calls without those of norms and dropout, which do the same to channels in training as elsewhere."""
    left_out = {name for name, module in meta.named_modules() if isinstance(module, (_NormBase, _DropoutNd))}
    return {call for call in calls if call[0] not in left_out}


def _closed(meta: nn.Module) -> Iterator[tuple[str, int, str]]:
    """Yield the axes, with the reason, of modules that torch refuses at any other width and that no adapter can thin out."""
    known: set[str] = set()
    for path, module in meta.named_modules():
        if isinstance(module, nn.MultiheadAttention) and adapter_of(module) is None:
            reason = "attention with keys of another width, or with added keys, is not supported yet:"
        elif isinstance(module, torch.jit.ScriptModule):
            reason = f"the scripted part {path}, a program that cannot be taken apart,"
        else:
            continue
        known = known or {name for name, _ in meta.named_parameters()}  # tied ones once
        for name, parameter in module.named_parameters(path):
            if name in known:
                yield from ((name, axis, reason) for axis in range(parameter.dim()))


def _ranges(meta: nn.Module) -> Iterator[tuple[str, str, int]]:
    """Yield what a fake quantiser knows of each channel of a weight, that weight, and the axis of its channels."""
    known = {id(tensor): name for name, tensor in meta.named_parameters()}
    for path, module in meta.named_modules():
        weight, rounds = getattr(module, "weight", None), getattr(module, "weight_fake_quant", None)
        axis = getattr(rounds, "ch_axis", -1)
        if isinstance(weight, Tensor) and isinstance(rounds, nn.Module) and id(weight) in known and 0 <= axis < weight.dim():
            below = ((f"{path}.weight_fake_quant.{name}", buffer) for name, buffer in rounds.named_buffers())
            yield from (
                (name, known[id(weight)], axis) for name, buffer in below if buffer.dim() == 1 and len(buffer) == weight.shape[axis] > 1
            )


def _freeze_single(variables: Variables, axes: dict[Axis, Ids]) -> None:
    """Keep axes of one element: they would be emptied."""
    for found in axes.values():
        if found.size == 1:
            variables.freeze(found, "a single channel")


def _pass(meta: nn.Module, input_shape: tuple[int, ...], tracker: Tracker, watcher: Watcher) -> None:
    """Run one forward pass and freeze what comes out."""
    batch = zeros(meta, input_shape, 2).to("meta")
    try:
        with torch.no_grad(), locating(meta, tracker.calls.enter), watcher:
            out = answer(meta, batch)
    except Exception as error:
        raise stopped(error, meta, input_shape) from error
    outputs = answers_of(out)
    if not outputs:
        raise PruningError(f"forward() returns no tensor that can be found in its {type(out).__name__}: return tensors, a tuple or a dict")
    tracker.calls.enter("")
    tracker.pending.seen("", (), outputs, None)
    for tensor in outputs:
        tracker.freeze(tensor, OF_THE_ANSWER)
