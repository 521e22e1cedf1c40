"""Seeing the network: one forward pass on the meta device tells which channels are coupled.

Every operation is seen by a ``TorchDispatchMode``, below the model's Python: no symbolic tracing, so control flow that does not depend on
values is fine, and parameters are told apart by identity. Evaluation and training mode are solved together, keyed by parameter,
so that what only trains (auxiliary heads) shrinks along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.flop_counter import flop_registry

from prunekit.errors import PruningError
from prunekit.models.attention.heads import adapter_of
from prunekit.models.attention.transformers_sizes import cuts_by_numbers
from prunekit.models.branches import Along, Path, along, branches_of
from prunekit.models.cost import count_on, macs_of
from prunekit.models.layers import LOOKED_UP
from prunekit.models.meta_copy import Seeing, locating, meta_copy
from prunekit.models.meta_operations import without_values
from prunekit.models.outputs import answers_of
from prunekit.models.widths import told_elsewhere
from prunekit.models.wrappers import exact
from prunekit.pruning.layer_selection import OF_THE_ANSWER
from prunekit.pruning.structured.axis_tracker import Call, Calls, Notes, Record, Tracker, numbers_in, tensors_in, unknown
from prunekit.pruning.structured.block_dry_run import listed, without_which_it_runs
from prunekit.pruning.structured.coupling_solver import Ids, Variables
from prunekit.pruning.structured.input_forms import LIBRARIES, Form, forms_of
from prunekit.pruning.structured.residual_blocks import Block, Blocks
from prunekit.pruning.structured.rules import RULES
from prunekit.pruning.structured.trace_errors import stopped
from prunekit.tasks.input_form import AROUND, answer, zeros

aten = torch.ops.aten
FACTORS = {aten.mm: 0, aten.addmm: 1, aten.bmm: 0, aten.baddbmm: 1}  # where the first factor of a matrix product stands


@dataclass(frozen=True, eq=False)
class Product:
    """One product of a forward pass.

    Attributes
    ----------
    weight : str
        State name of the weight that takes part; empty for a product of activations.
    macs : int
        Multiply-accumulates of the dense model on the samples that were run.
    axes : tuple of ndarray
        Variables of the axes whose lengths it is proportional to.
    where : str
        The module that runs it.
    """

    weight: str
    macs: int
    axes: tuple[Ids, ...]
    where: str


def product(tracker: Tracker, operation: Any, args: tuple[Any, ...], macs: int, names: dict[int, str]) -> Product:
    """Return what an operation costs, and to which axes that is proportional."""
    found: list[Ids | None] = []
    factors: tuple[Tensor, ...] = ()
    if operation in FACTORS:
        factors = args[FACTORS[operation] : FACTORS[operation] + 2]
        left, right = (tracker.axes(factor) for factor in factors)
        found = [*left[:-1], left[-1] if right[-2] is None else right[-2], right[-1]]
    elif operation is aten.convolution:
        factors = args[:2]
        found = list(tracker.axes(args[1])[:2])
    bases = [factor if factor._base is None else factor._base for factor in factors]  # a transposed weight is a view of it
    weight = next((names[id(base)] for base in reversed(bases) if id(base) in names and isinstance(base, nn.Parameter)), "")
    return Product(weight, macs, tuple(axis for axis in found if axis is not None), tracker.where)


Axis = tuple[str, int]
Number = tuple[str, str]  # module and attribute


@dataclass(frozen=True)
class Facts:
    """What one model's forward passes told.

    Attributes
    ----------
    variables : Variables
        The collected equalities and ORs.
    axes : dict
        (name in the state dict, axis) -> variables of that axis. Tied parameters appear under their first name.
    grouped : dict of str to ndarray
        Grouped convolutions by module name -> the variables of their groups.
    seen : set of str
        State names that took part in a forward pass.
    unknown : dict of str to str
        Operations without a rule -> the module they were met in.
    notes : Notes
        What the proof has to mind besides zeroes.
    products : tuple of Product
        What costs multiply-accumulates, in the order in which it runs.
    splits : frozenset of str
        Modules that take an axis apart into a grid, such as heads and their dimensions.
    blocks : tuple of Block
        Residual blocks that can go as a whole.
    outputs : dict of str to ndarray
        State name of a weight that takes part in a product -> variables of the outputs that it makes.
    lengths : dict of str to ndarray
        Norms by module name -> variables of the axis that they work on.
    heads : tuple of ndarray
        Variables of the axes of products of activations along which each index has a product of its own: heads of attention.
    experts : tuple of ndarray
        Variables of the axes along which experts are packed that a router chooses from.
    routes : tuple of (ndarray, int)
        Variables of the axes of which so many have to stay: so many of them are chosen, such as experts, or their deviation is taken.
    multiples : tuple of (ndarray, int)
        Variables of the axes whose length an operation wants to be a multiple of a number.
    records : dict of Call to Record
        Every call in evaluation mode: what a smaller model's has to be like.
    forms : tuple of (Form, Notes)
        The further forms in which the model runs, traced along.
    kept : dict of (str, str) to tuple of ndarray
        Module and attribute of somebody's own class that is a whole number -> variables of the axes, of grids there, that are as long: it
        follows in a smaller copy. The rehearsal takes out what only stands in the way.
    path : dict or None
        The branches that were taken, of a model that takes some by what a tensor says.
    held : tuple of str
        Tensors of the model itself that a copy of it, without values, went on using.
    uses : dict of str to set of (str, str)
        State name of a parameter that is looked up by number -> every operation that takes it, and the module that runs that.
    pieces : tuple of ndarray
        Variables of the pieces of axes that are cut at sizes which a module keeps: each is something of its own.
    """

    variables: Variables
    axes: dict[Axis, Ids]
    grouped: dict[str, Ids]
    seen: set[str]
    unknown: dict[str, str]
    notes: Notes
    products: tuple[Product, ...]
    splits: frozenset[str]
    blocks: tuple[Block, ...]
    outputs: dict[str, Ids]
    lengths: dict[str, Ids]
    heads: tuple[Ids, ...]
    routes: tuple[tuple[Ids, int], ...]
    multiples: tuple[tuple[Ids, int], ...]
    records: dict[Call, Record]
    forms: tuple[tuple[Form, Notes], ...] = ()
    kept: dict[Number, tuple[Ids, ...]] = field(default_factory=dict)
    path: Path | None = None
    held: tuple[str, ...] = ()
    uses: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    pieces: tuple[Ids, ...] = ()
    experts: tuple[Ids, ...] = ()

    def made_by(self, weight: str) -> Ids:
        """Return the variables of the outputs of a weight; of its first axis where it takes part in no product."""
        return self.outputs.get(weight, self.axes[weight, 0])


class _Watcher(Seeing):
    """Applies the rule of every operation that runs."""

    def __init__(self, tracker: Tracker, names: dict[int, str], dense: dict[int, str], blocks: Blocks, recurrent: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracker, self.names, self.dense, self.blocks, self.recurrent = tracker, names, dense, blocks, recurrent
        self.seen, self.held = set[str](), set[str]()
        self.uses: dict[str, set[tuple[str, str]]] = {}
        self.unknown: dict[str, str] = {}
        self.products: list[Product] = []
        self.records: dict[Call, Record] = {}
        self.blank = set[Call]()  # that made zeros
        self.first = True  # what is counted and compared is the pass of the example, in evaluation mode

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        kwargs, tracker, packet = kwargs or {}, self.tracker, func.overloadpacket
        name = packet.__name__
        tracker.call = tracker.calls.next(name, args)
        out = without_values(func, args, kwargs, most=True)
        inputs = tensors_in((args, kwargs) if kwargs else args)
        tracker.pending.seen(name, args, inputs, out)
        tracker.numbers(inputs, out)
        blank = False
        taken = [self.names[id(t)] for t in inputs if id(t) in self.names]
        self.seen.update(taken)
        self.held.update(self.dense[id(t)] for t in inputs if id(t) in self.dense)
        for entry in self.uses.keys() & taken:
            self.uses[entry].add((name, tracker.where))
        if name == "zeros" and isinstance(out, Tensor) and tracker.where in self.recurrent:  # the state before the first step
            tracker.put(out, [*[None] * (out.dim() - 1), tracker.variables.fresh(out.shape[-1])])
        elif blank := isinstance(out, Tensor) and not tracker.carries(inputs) and _is_zero(name, args):
            # a state, or what sums are added to: it is as wide as what it meets
            tracker.put(out, [tracker.blank(size) for size in out.shape])
        elif name in {"expand", "repeat"} or tracker.carries(inputs):
            known = RULES.get(name) or RULES.get(name.rstrip("_"))
            if known is None:
                if not tracker.all_blank(inputs):
                    self.unknown.setdefault(name, tracker.where or "the model")
                unknown(tracker, name, args, kwargs)
            else:
                known(tracker, args, kwargs, out)
        if self.first:
            self.blocks.see(packet, args, kwargs, out)
            made = tuple(map(tracker.axes, tensors_in(out)))
            self.records[tracker.call] = Record(tracker.calls.step, made, numbers_in(name, args, kwargs))
            self.blank |= {tracker.call} if blank else set()
            if packet in flop_registry:
                self.products.append(product(tracker, packet, args, macs_of(func, args, kwargs, out), self.names))
        return out


ZEROS, FILLED = {"zeros", "new_zeros", "zeros_like", "zero", "zero_"}, {"full": 1, "new_full": 2, "full_like": 1, "fill_": 1}


def _is_zero(name: str, args: tuple[Any, ...]) -> bool:
    """Return whether an operation makes nothing but zeros."""
    return name in ZEROS or (name in FILLED and not isinstance(args[FILLED[name]], Tensor) and args[FILLED[name]] == 0)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def observe(model: nn.Module, input_shape: tuple[int, ...]) -> Facts:
    """Run the model on the meta device and collect what its operations say about its channels.

    Parameters
    ----------
    model : nn.Module
        Not modified: a copy without values is run.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    Facts
        To be solved.

    Raises
    ------
    PruningError
        If the model does not run without values (its control flow depends on the data) or on this shape.
    """
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
    watcher = _Watcher(tracker, named, dense, blocks, recurrent)
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


def _leave_unread(watcher: _Watcher, variables: Variables) -> None:
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
    models: tuple[nn.Module, nn.Module], forms: Iterable[Form], tracker: Tracker, watcher: _Watcher, notes: Notes
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


def _pass(meta: nn.Module, input_shape: tuple[int, ...], tracker: Tracker, watcher: _Watcher) -> None:
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
