"""The variables of every axis of every tensor in one forward pass, and the registry of rules that carry them along."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from prunekit.pruning.structured.coupling_solver import Ids, Variables
from prunekit.pruning.structured.hand_written_norms import Pending
from prunekit.pruning.structured.operation_calls import Axes, Call, Calls, Notes, is_weight, tensors_in

Rule = Callable[["Tracker", tuple[Any, ...], dict[str, Any], Any], None]

LONGEST = 2**14
WRITTEN = "a size written into forward()"
RULES: dict[str, Rule] = {}

# what only moves numbers, and what picks by them and minds them itself
MOVES = frozenset(
    {
        *(
            "view",
            "_unsafe_view",
            "reshape",
            "_reshape_alias",
            "unsqueeze",
            "squeeze",
            "expand",
            "permute",
            "transpose",
            "t",
            "clone",
            "alias",
        ),
        *("detach", "_to_copy", "contiguous", "slice", "select", "split", "unbind", "repeat", "flatten", "lift_fresh"),
    }
)
PICKS = frozenset({"gather", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "index", "embedding"})


class Tracker:
    """Knows the variables of every axis of every tensor seen in one forward pass."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self._axes: dict[int, tuple[Tensor, Axes]] = {}  # the tensor is held so that its id stays its own
        self.calls = Calls()
        self.call: Call = ("", "", 0)
        self.grouped: dict[str, Ids] = {}
        self.splits: set[str] = set()
        self.convolutions: set[str] = set()  # modules of torch's
        self.owners: dict[int, str] = {}  # by id of the weight of one: its module
        self.grids: dict[str, list[Ids]] = {}  # module -> the axes of its grids, and the axis that one is merged to
        # by id of merged axes, which are held so that it stays their own: the parts with their sizes; of those cut finer before, too
        self.merged: dict[int, tuple[Ids, tuple[tuple[Ids | None, int], ...]]] = {}
        self.finer: dict[int, tuple[Ids, tuple[tuple[Ids | None, int], ...]]] = {}
        self.pieces: list[Ids] = []  # of axes that are cut at sizes which a module keeps
        self.pending = Pending(self.variables)
        self.made: dict[int, tuple[Tensor, Ids]] = {}
        self.lengths: dict[str, Ids] = {}
        self.heads: list[Ids] = []
        self.routes: list[tuple[Ids, int]] = []
        self.several: list[tuple[Ids, int]] = []
        self.multiples: list[tuple[Ids, int]] = []
        self._chosen: dict[int, tuple[Tensor, Ids]] = {}
        self._computed: list[tuple[Ids, str]] = []
        self._routed: set[int] = set()
        self.experts: list[Ids] = []
        self._blank: set[int] = set()
        self.cutting: set[str] = set()  # modules of which each piece of an axis may shrink by itself
        self.rehearsed = False  # whether what a smaller copy's Python does not carry is found later
        self.kept_by: Callable[[str], set[int]] = lambda _: set()  # the numbers that a module of somebody's own keeps beside its layers
        self.notes: Notes | None = Notes()

    @property
    def where(self) -> str:
        """The module that runs."""
        return self.calls.where

    def owner(self, weight: Tensor) -> str:
        """Return the convolution whose weight takes part: another than the module that runs, where that calls a function on it."""
        base = weight if weight._base is None else weight._base
        return self.where if self.where in self.convolutions else self.owners.get(id(base), self.where)

    def makes(self, weight: Tensor, outputs: Ids | None) -> None:
        """Note the outputs that a weight makes, where it is a whole parameter, or a view of one."""
        base = weight if weight._base is None else weight._base
        once = math.prod(size for size, stride in zip(weight.shape, weight.stride(), strict=True) if stride)  # of a batch of it
        if is_weight(weight) and outputs is not None and once == base.numel():
            self.made.setdefault(id(base), (base, outputs))

    def splitting(self, axis: Ids) -> None:
        """Note that the running module takes an axis apart into a grid."""
        if axis.any():
            self.splits.add(self.where)

    def grid(self, parts: Sequence[Ids | None]) -> None:
        """Note axes into which the running module takes one apart, or the one to which it merges some: it may keep their lengths."""
        self.grids.setdefault(self.where, []).extend(part for part in parts if part is not None and part.any())

    def mask_input(self, argument: int, axis: int, found: Ids | None) -> None:
        """Note that what goes has to be zero in an argument of the running call."""
        if self.notes is not None and found is not None:
            self.notes.inputs.setdefault(self.call, []).append((argument, axis, found))

    def mask_output(self, axis: int, found: Ids | None) -> None:
        """Note that what goes has to be made zero behind the running call."""
        if self.notes is not None and found is not None:
            self.notes.outputs.setdefault(self.call, []).append((axis, found))

    def norm(self, channels: Ids | None, groups: int = 1) -> None:
        """Note that the running call takes statistics over channels."""
        if self.notes is not None and channels is not None:
            self.notes.norms[self.call] = channels, groups

    def statistic(self, axis: int, found: Ids, least: int = 1) -> None:
        """Note that the running call's mean or variance is over the channels of an axis that stay, of which it needs so many."""
        if least > 1:
            self.several.append((found, least))
        if self.notes is not None:
            self.notes.statistics.setdefault(self.call, []).append((axis, found))

    def choose(self, axis: int, found: Ids, count: int = 0, numbers: Tensor | None = None) -> None:
        """Note that the running call chooses along an axis among what stays: ``count`` of them, of which the numbers are told."""
        if self.notes is not None:
            self.notes.choices[self.call] = axis, found
        if numbers is not None:
            self.routes.append((found, count))
            self._chosen[id(numbers)] = numbers, found

    def chosen_by(self, numbers: Tensor) -> Ids | None:
        """Return the axis from which numbers were chosen, if they were."""
        return self._chosen[id(numbers)][1] if id(numbers) in self._chosen else None

    def numbers(self, inputs: Sequence[Tensor], out: Any) -> None:
        """Follow numbers of what was chosen through the running call: moved they are the same."""
        name = self.call[1].rstrip("_")
        for tensor in inputs if self._chosen else ():
            found = self.chosen_by(tensor)
            if found is not None and name in MOVES:
                self._chosen |= {id(made): (made, found) for made in tensors_in(out) if made is not tensor}
            elif name not in PICKS:
                self.computed(tensor)

    def computed(self, numbers: Tensor) -> None:
        """Note that numbers count for what they are: the axis from which they were chosen stays, unless packed experts go along."""
        found = self.chosen_by(numbers)
        if found is not None:
            self._computed.append((found, self.at(f"numbers of what was chosen from it go into '{self.call[1]}'")))

    def settle(self) -> None:
        """Keep the axes whole from which numbers were chosen that count for what they are."""
        for found, reason in self._computed:
            if id(found) not in self._routed:
                self.variables.freeze(found, reason)

    def route(self, experts: Ids | None) -> bool:
        """Tie the experts that weights are packed by to the axis from which experts were last chosen; return whether there is one."""
        if experts is not None:
            for found, _ in reversed(self.routes):
                if found.size == experts.size:
                    self.variables.tie(experts, found, self.at("choice of experts"))
                    self._routed.add(id(found))
                    self.experts.append(experts)
                    return True
        return False

    def axes(self, tensor: Tensor) -> Axes:
        """Return the variables of each axis; all None for a tensor that carries no channels."""
        return self._axes[id(tensor)][1] if id(tensor) in self._axes else (None,) * tensor.dim()

    def carries(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether any of some tensors carries channels."""
        return any(id(tensor) in self._axes for tensor in tensors)

    def put(self, tensor: Tensor, axes: Sequence[Ids | None]) -> None:
        """Remember the variables of a tensor's axes."""
        if len(axes) != tensor.dim():
            raise AssertionError(f"{len(axes)} axes for a tensor of {tensor.dim()} dimensions")
        if any(a is not None for a in axes):
            self._axes[id(tensor)] = (tensor, tuple(axes))

    def blank(self, size: int) -> Ids | None:
        """Return variables for an axis of zeros, unless it is of length one, or longer than layers are wide."""
        if not 1 < size <= LONGEST:
            return None
        found = self.variables.fresh(size)
        self._blank.add(int(found[0]))
        return found

    def all_blank(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether what is known of the axes of tensors is that they are those of zeros."""
        return all(int(axis[0]) in self._blank for tensor in tensors for axis in self.axes(tensor) if axis is not None)

    def freeze(self, tensor: Tensor, reason: str, axes: Sequence[int] | None = None) -> None:
        """Make some axes of a tensor (or all) immovable."""
        known = self.axes(tensor)
        for axis in range(tensor.dim()) if axes is None else axes:
            found = known[axis]
            if found is not None:
                self.variables.freeze(found, self.at(reason))

    def tie(self, a: Ids | None, b: Ids | None, reason: str) -> Ids | None:
        """Tie two axes of one length; an axis without variables freezes the other. Return what to go on with."""
        if a is None or b is None:
            rest = b if a is None else a
            if rest is not None:
                self.variables.freeze(rest, self.at(f"{reason} with what cannot shrink"))
            return None
        self.variables.tie(a, b, self.at(reason))
        return a

    def at(self, reason: str) -> str:
        """Return a reason with the module it stands in."""
        return f"{reason} in {self.where}" if self.where else reason


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for aten operations by name, without overload and without the underscore of in-place forms."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def unknown(tracker: Tracker, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Freeze everything that an operation without a rule touches."""
    for tensor in tensors_in((args, kwargs)):
        tracker.freeze(tensor, f"operation '{name}', which pruning does not support yet,")
