"""The variables of every axis of every tensor in one forward pass, and the registry of rules that carry them along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from prunekit.pruning.solve import Ids, Variables

Axes = tuple[Ids | None, ...]
Rule = Callable[["Tracker", tuple[Any, ...], dict[str, Any], Any], None]

RULES: dict[str, Rule] = {}


class Tracker:
    """Knows the variables of every axis of every tensor seen in one forward pass."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self._axes: dict[int, tuple[Tensor, Axes]] = {}  # the tensor is held so that its id stays its own
        self.where = ""
        self.grouped: dict[str, Ids] = {}

    def enter(self, name: str) -> None:
        """Note which module runs."""
        self.where = name

    def axes(self, tensor: Tensor) -> Axes:
        """Return the variables of each axis; all None for a tensor that carries no channels."""
        return self._axes[id(tensor)][1] if id(tensor) in self._axes else (None,) * tensor.dim()

    def put(self, tensor: Tensor, axes: Sequence[Ids | None]) -> None:
        """Remember the variables of a tensor's axes."""
        if len(axes) != tensor.dim():
            raise AssertionError(f"{len(axes)} axes for a tensor of {tensor.dim()} dimensions")
        if any(a is not None for a in axes):
            self._axes[id(tensor)] = (tensor, tuple(axes))

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
                self.variables.freeze(rest, self.at(reason))
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


def tensors_in(values: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples, dicts and dataclasses."""
    if isinstance(values, Tensor):
        return [values]
    if is_dataclass(values) and not isinstance(values, type):
        values = [getattr(values, field.name) for field in fields(values)]
    if isinstance(values, dict):
        values = list(values.values())
    return [t for value in values for t in tensors_in(value)] if isinstance(values, (list, tuple)) else []


def unknown(tracker: Tracker, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Freeze everything that an operation without a rule touches."""
    for tensor in tensors_in((args, kwargs)):
        tracker.freeze(tensor, f"operation '{name}', which pruning does not support yet,")
