"""A rehearsal without values: what a smaller copy's Python does not carry stays whole, group by group, with the line that is in the way.

Attention written by hand computes the width of a head from the embedding's, cuts an axis at a number, or scales by a width. A smaller copy
is run on the meta device, operation by operation beside the dense model's own pass: each axis has to be as long as the couplings say, and
no number that is computed with may change. What fails is found by bisection over the groups, and held; all others may go. A model without
some of its blocks is run as well: Python that reads a block's parts is seen so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from prunekit.models.attention.heads import DENSE
from prunekit.models.branches import Along, Path
from prunekit.models.identity_blocks import replace_module, stand_in
from prunekit.models.meta_copy import Seeing, locating, meta_copy
from prunekit.models.meta_operations import without_values
from prunekit.models.widths import ATTRIBUTES
from prunekit.models.wrappers import exact
from prunekit.pruning.structured.axis_tracker import WRITTEN
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.input_forms import LIBRARIES
from prunekit.pruning.structured.operation_calls import Call, Calls, Record, numbers_in, tensors_in
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.structured.trace_errors import modules_of, place
from prunekit.tasks.input_form import AROUND, answer, zeros

SCALED = "a number that follows the width"
TURNS = 8  # passes of the dense model, to see which numbers it draws by chance
Hold = Callable[[ChannelGraph, Ids, str], ChannelGraph]
Draw = Callable[[Group], Ids]


class _Scaled(Exception):
    """A number that is computed with follows a width."""


class _Written(Exception):
    """An axis is not as long as the couplings say."""


def rehearsed(model: nn.Module, graph: ChannelGraph, hold: Hold) -> ChannelGraph:
    """Return a model's couplings, with what its smaller copies do not carry kept whole."""
    if not graph.groups or not may_hold_sizes(model, graph):
        return graph
    stage = _Stage(model, graph.facts.path)
    for draw in (_one_each, _uneven):
        while (failed := stage.failure(graph, graph.groups, draw)) is not None:
            culprit, (reason, where) = _culprit(stage, graph, draw, failed)
            if _runs_without(model, stage, graph, (culprit, draw)):
                continue
            alike = [group for group in alike_groups(model, graph, culprit, where) if stage.failure(graph, (group,), draw) is not None]
            graph = hold(graph, np.concatenate([group.atoms for group in (culprit, *alike)]), reason)
            if not graph.groups:
                return graph
    return graph


def may_hold_sizes(model: nn.Module, graph: ChannelGraph) -> bool:
    """Return whether a module may hold sizes: of somebody's own class, or one of torch's that takes an axis apart at a number."""
    for name, module in model.named_modules():
        library = type(module).__module__.partition(".")[0]
        if library not in LIBRARIES or (name in graph.facts.splits and not type(module).__module__.startswith("torch.nn.")):
            return True
        if name in graph.facts.splits and isinstance(module, (nn.MultiheadAttention, nn.Unflatten)):
            return True
        if module._parameters and library == "torch" and not isinstance(module, (*(kind for kind, _ in ATTRIBUTES), nn.MultiheadAttention)):
            return True
    return False


def _runs_without(model: nn.Module, stage: _Stage, graph: ChannelGraph, told: tuple[Group, Draw]) -> bool:
    """Let a number stay that follows a group's axes by chance, in all modules of the class: where the group goes then, and not before."""
    group, draw = told
    numbers = graph.facts.kept
    for name, attribute in list(graph.kept_beside(sparing(graph, draw(group)).gone)):
        kind = type(model.get_submodule(name))
        alike = [each for each in numbers if each[1] == attribute and type(model.get_submodule(each[0])) is kind]
        before = {each: numbers.pop(each) for each in alike}
        if stage.failure(graph, (group,), draw) is None:
            return True
        numbers.update(before)
    return False


class _Stage:
    """A copy without values, of which smaller ones are made and run."""

    def __init__(self, model: nn.Module, path: Path | None) -> None:
        self.meta = exact(meta_copy(model))
        if path is not None:
            self.meta.__dict__[AROUND] = Along(path)
        self.drawn: set[Call] | None = None

    def failure(self, graph: ChannelGraph, groups: Sequence[Group], draw: Draw) -> tuple[str, str] | None:
        """Return why a copy without a share of some groups does not do what it should, and in which module; None where it does."""
        removal = sparing(graph, np.concatenate([np.zeros(0, np.int64), *map(draw, groups)]))
        if removal.empty:
            return None
        small = self.meta
        try:
            small = shrink(self.meta, removal)
            try:
                self._compare(small, removal)
            except _Scaled:
                if self.drawn is None:
                    self.drawn = set().union(*(self._compare(self.meta, Removal(graph, removal.atoms[:0])) for _ in range(TURNS)))
                    self._compare(small, removal)
                else:
                    raise
            self._other_forms(small, graph)
        except Exception as error:
            return f"{SCALED if isinstance(error, _Scaled) else WRITTEN} in {place(error, small)}", next(iter(modules_of(error, small)), "")
        return None

    def _compare(self, small: nn.Module, removal: Removal) -> set[Call]:
        """Run a copy beside the dense model's pass; return the calls that take another number each time, if it is the dense one."""
        same = small is self.meta
        check = _Check(self.meta, small, removal, set() if same else self.drawn or set(), same)
        batch = zeros(small, removal.graph.input_shape, 2).to("meta")
        with torch.no_grad(), locating(small, check.calls.enter), check:
            answer(small, batch)
        return check.drawn

    def _other_forms(self, small: nn.Module, graph: ChannelGraph) -> None:
        """Run the smaller copy in the other forms in which the dense model runs."""
        for form, _ in graph.facts.forms:
            with torch.no_grad(), form.on(small), Quick():  # type: ignore[no-untyped-call]
                answer(small, zeros(small, form.shape, 2).to("meta"))


class _Check(Seeing):
    """Compares every operation of a smaller model with the same one of the dense model."""

    def __init__(self, dense: nn.Module, small: nn.Module, removal: Removal, drawn: set[Call], collecting: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn, self.collecting = drawn, collecting
        self.calls, self.records = Calls(), removal.graph.facts.records
        self._gone, self._label = removal.gone, removal.graph.solution.label
        self._counts: dict[int, int] = {}
        # an adapter computes the same by other operations, or lets the module take another path
        kinds = {name: type(module) for name, module in dense.named_modules()}
        changed = (n for n, module in small.named_modules() if kinds.get(n) is not type(module) or hasattr(module, DENSE))
        self.adapted = tuple(changed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        call = self.calls.next(name, args)
        record = self.records.get(call)
        if record is not None and (record.step != self.calls.step or self._is_adapted(call[0])):
            record = None  # for axes of length one torch takes other operations: from there on nothing of this module can be compared
        if record is not None and call not in self.drawn and numbers_in(name, args, kwargs) != record.numbers:
            if not self.collecting:
                raise _Scaled
            self.drawn.add(call)
        out = without_values(func, args, kwargs, most=True)
        if record is not None:
            self._compare(record, out)
        return out

    def _is_adapted(self, name: str) -> bool:
        """Return whether a module, or one that it stands in, is an adapter."""
        return any(name == adapter or name.startswith(f"{adapter}.") for adapter in self.adapted)

    def _compare(self, record: Record, out: Any) -> None:
        """Raise where an axis that is known has another length than it should."""
        found = tensors_in(out)
        if len(found) != len(record.axes):
            return
        for tensor, axes in zip(found, record.axes, strict=True):
            if axes and len(axes) != tensor.dim():
                raise _Written
            if any(ids is not None and self._count(ids) != tensor.shape[place] for place, ids in enumerate(axes)):
                raise _Written

    def _count(self, ids: Ids) -> int:
        """Return how many elements of an axis stay."""
        key = id(ids)
        if key not in self._counts:
            self._counts[key] = int((~self._gone[self._label[ids]]).sum())
        return self._counts[key]


def _one_each(group: Group) -> Ids:
    """Return as little of a group as can go: of one unit the count that stays has no divisor in common with the dense one."""
    return group.atoms[group.size - group.allowed(group.multiple) :]


def _uneven(group: Group) -> Ids:
    """Return a random share of a group, always the same; two units stay, for of one torch and libraries take other operations."""
    noise = np.random.default_rng(int(group.atoms[0]))
    units, share = noise.permutation(group.atoms), int(noise.uniform(0.1, 0.8) * group.size)
    return units[: group.allowed(max(group.multiple, min(share, group.size - 2)))]


def sparing(graph: ChannelGraph, atoms: Ids) -> Removal:
    """Return a removal without those units that would empty a layer."""
    removal = Removal(graph, atoms)
    empty = [name for name, classes in graph.outputs.items() if removal.gone[classes].all()] if atoms.size else []
    spared = [found[positions == positions[0]] for positions, found, _ in (graph.incidence[name] for name in empty)]
    return Removal(graph, np.setdiff1d(atoms, np.concatenate(spared))) if spared else removal


def _culprit(stage: _Stage, graph: ChannelGraph, draw: Draw, failed: tuple[str, str]) -> tuple[Group, tuple[str, str]]:
    """Return the group at which the first groups together begin to fail, and how."""
    culprit, found = first_failing(graph.groups, lambda some: stage.failure(graph, some, draw))
    return culprit, stage.failure(graph, (culprit,), draw) or found or failed


Failure = TypeVar("Failure")


def first_failing(groups: Sequence[Group], failure: Callable[[Sequence[Group]], Failure | None]) -> tuple[Group, Failure | None]:
    """Return the group at which the first groups together begin to fail, and how; all together do."""
    runs, fails, how = 0, len(groups), None
    while fails - runs > 1:
        middle = (runs + fails) // 2
        found = failure(groups[:middle])
        if found is None:
            runs = middle
        else:
            fails, how = middle, found
    return groups[fails - 1], how


def alike_groups(model: nn.Module, graph: ChannelGraph, culprit: Group, where: str) -> Iterator[Group]:
    """Yield the groups that are to other modules of a class what the culprit is to the one in which it fails."""
    below = f"{where}." if where else ""
    if not all(layer.startswith(below) or layer == where for layer in culprit.layers):
        return
    kind, parts, role = type(model.get_submodule(where)), [layer.removeprefix(below) for layer in culprit.layers], _role(culprit)
    for group in graph.groups:
        for name in {layer.removesuffix(parts[0]).rstrip(".") for layer in group.layers if layer.endswith(parts[0])} - {where}:
            there = tuple(f"{name}.{part}" if name else part for part in parts)
            if group.layers == there and _role(group) == role and type(model.get_submodule(name)) is kind:
                yield group


def _role(group: Group) -> str:
    """Return what tells a group from others of its layers."""
    return group.id.removeprefix(group.layers[0])


class Quick(Seeing):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Runs operations on meta tensors, their shapes alone."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return without_values(func, args, kwargs or {}, most=True)


class Listing(Seeing):
    """Notes which operations run, of their shapes alone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.made = Calls(), set[Call]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        self.made.add(self.calls.next(func.overloadpacket.__name__, args))
        return without_values(func, args, kwargs or {}, most=True)


def listed(meta: nn.Module, shape: tuple[int, ...]) -> set[Call] | None:
    """Return the calls of a model's forward pass; None where it does not take such inputs."""
    listing = Listing()
    try:
        inputs = zeros(meta, shape, 2).to("meta")
        with torch.no_grad(), locating(meta, listing.calls.enter), listing:
            answer(meta, inputs)
    except Exception:  # whatever it says of them
        return None
    return listing.made


def without_which_it_runs(meta: nn.Module, blocks: tuple[Block, ...], input_shape: tuple[int, ...]) -> tuple[Block, ...]:
    """Return the blocks without which a model still runs."""
    if not blocks or _runs(meta, blocks, input_shape):
        return blocks
    return tuple(block for block in blocks if _runs(meta, (block,), input_shape))


def _runs(meta: nn.Module, blocks: tuple[Block, ...], input_shape: tuple[int, ...]) -> bool:
    """Return whether a model runs without some blocks."""
    old = {block.name: meta.get_submodule(block.name) for block in blocks}
    try:
        for block in blocks:
            replace_module(meta, block.name, stand_in(block.becomes))
        with torch.no_grad(), Quick():  # type: ignore[no-untyped-call]
            answer(meta, zeros(meta, input_shape, 2).to("meta"))
    except Exception:  # whatever stops it: the block has to stay
        return False
    finally:
        for name, module in old.items():
            replace_module(meta, name, module)
    return True
