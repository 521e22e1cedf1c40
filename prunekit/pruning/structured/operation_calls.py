"""Calls of operations in a forward pass by their place in a module, and what the masked dense model has to do at some of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from prunekit.pruning.structured.coupling_solver import Ids

Axes = tuple[Ids | None, ...]
Call = tuple[str, str, int]  # module, operation, which of the module's calls of it
PLAIN = {int, float, bool, str, type(None)}
ARITHMETIC = frozenset({"add", "sub", "rsub", "mul", "div", "true_divide", "floor_divide", "pow", "remainder", "addcmul", "addcdiv"})


@dataclass(frozen=True, eq=False)
class Record:
    """What a call was in the dense model: its place in its module, the variables of each tensor that it made, and its numbers."""

    step: int
    axes: tuple[Axes, ...]
    numbers: tuple[float, ...]


def numbers_in(name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the numbers that an operation computes with: floating ones, tensors of a single value too, and of arithmetic whole ones."""
    whole, found = name.rstrip("_") in ARITHMETIC, []
    for value in (*args, *kwargs.values()):
        kind = type(value)
        if kind is float or (kind is int and whole):
            found.append(0.0 if math.isnan(value) else value)
        elif isinstance(value, Tensor) and not value.dim() and value.device.type == "cpu" and value.is_floating_point():
            found.append(float(value))
    return tuple(found)


@dataclass
class Notes:
    """Where zeroing a channel is not enough for the dense model to compute what the smaller one does; in evaluation mode."""

    # call of a layer norm or group norm -> the variables of its channels and the number of groups: statistics are those of the channels
    # that stay
    norms: dict[Call, tuple[Ids, int]] = field(default_factory=dict)
    # call of a contraction without parameters -> (argument, axis, variables): what goes has to be zero there, and need not be (a sigmoid of
    # zero)
    inputs: dict[Call, list[tuple[int, int, Ids]]] = field(default_factory=dict)
    # call of an operation that is not finite at zero -> (axis, variables)
    outputs: dict[Call, list[tuple[int, Ids]]] = field(default_factory=dict)
    # call of a mean or variance that a norm is written with -> (axis, variables): it is that of the channels that stay. Of what is made of
    # weights alone, any statistic, over several axes
    statistics: dict[Call, list[tuple[int, Ids]]] = field(default_factory=dict)
    # call of a softmax or of a choice of the largest -> (axis, variables): what goes is never chosen
    choices: dict[Call, tuple[int, Ids]] = field(default_factory=dict)


PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm"})


def is_weight(value: Any) -> bool:
    """Return whether a value is a parameter, or a view of one."""
    return isinstance(value, Tensor) and isinstance(value if value._base is None else value._base, nn.Parameter)


class Calls:
    """Counts each module's calls of each operation, so that a later forward pass finds the same ones."""

    def __init__(self) -> None:
        self.where = ""
        self._times: dict[tuple[str, str], int] = {}
        self._steps: dict[str, int] = {}

    def enter(self, name: str) -> None:
        """Note which module runs."""
        self.where = name

    @property
    def step(self) -> int:
        """Return how many operations the running module has begun."""
        return self._steps.get(self.where, 0)

    def next(self, operation: str, args: Sequence[Any] = ()) -> Call:
        """Return the name of a call that is about to be made.

        Products with a weight are counted apart: whether a linear layer becomes one of ``addmm``, ``mm`` or ``bmm`` depends on how its
        input lies in memory, which one sample and several tell apart; the products of activations beside it have to keep their numbers.
        """
        where, times, steps = self.where, self._times, self._steps
        key = where, f"{operation} with a weight" if operation in PRODUCTS and any(map(is_weight, args)) else operation
        times[key] = count = times.get(key, -1) + 1
        steps[where] = steps.get(where, 0) + 1
        return *key, count


def tensors_in(values: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples, dicts and dataclasses."""
    if isinstance(values, Tensor):
        return [values]
    if type(values) in PLAIN:
        return []
    if type(values) in {list, tuple}:  # what the arguments of nearly every operation are
        return [t for value in values if type(value) not in PLAIN for t in ([value] if isinstance(value, Tensor) else tensors_in(value))]
    if is_dataclass(values) and not isinstance(values, type):
        values = [getattr(values, entry.name) for entry in fields(values)]
    if isinstance(values, dict):
        values = list(values.values())
    return [t for value in values for t in tensors_in(value)] if isinstance(values, (list, tuple)) else []
