"""Means over channels that a norm is written with, and all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prunekit.pruning.structured.coupling_solver import Ids, Variables


@dataclass
class Statistic:
    """A mean over channels of which it is not known yet whether a norm is written with it."""

    tensor: Tensor  # held so that its id stays its own
    found: Ids
    reason: str
    source: Tensor
    kind: str


SHARES = "shares"  # of a softmax: what is chosen from them by the largest is chosen from those that stay
MEAN, SQUARE, SPREAD = "mean", "mean of squares", "deviation"
SQUARES = {"pow", "square", "mul"}
ROOTS, MOVING = {"rsqrt", "sqrt"}, {"_to_copy", "unsqueeze", "view", "expand", "detach", "alias", "clone"}
KEEPING = {*MOVING, "add", "clamp", "clamp_min"}


class Pending:
    """Means over channels: those of a norm that is written by hand are let be, all others keep the channels whole.

    A norm subtracts the mean from what it is of, or divides by the root of the mean of squares; the numbers of the channels that stay then
    take the place of those of all, as in torch's own norms.
    """

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self._found: dict[int, list[Statistic]] = {}
        self._squares: dict[int, Tensor] = {}
        self._of_weights: dict[int, Tensor] = {}
        self._sizes: dict[int, Tensor] = {}

    def of_weights(self, tensor: Tensor) -> bool:
        """Return whether a tensor is made of parameters alone, such as a weight that is rounded before it is used."""
        return isinstance(tensor, nn.Parameter) or id(tensor) in self._of_weights

    def of_sizes(self, tensor: Tensor) -> bool:
        """Return whether no value of a tensor is below zero, and what is zero before is zero in it: its largest is that of what stays."""
        return id(tensor) in self._sizes

    def add(self, tensor: Tensor, found: Ids | None, reason: str, source: Tensor, kind: str) -> None:
        """Remember a mean."""
        if found is not None and found.any():
            kind = SQUARE if kind == MEAN and id(source) in self._squares else kind
            self._found.setdefault(id(tensor), []).append(Statistic(tensor, found, reason, source, kind))

    def seen(self, name: str, args: Sequence[Any], inputs: list[Tensor], out: Any) -> None:
        """Decide on the means that an operation reads."""
        name = name.rstrip("_")
        if isinstance(out, Tensor) and inputs and all(map(self.of_weights, inputs)):
            self._of_weights[id(out)] = out
        if name in {"abs", "relu", "square"} or (name in MOVING and inputs and self.of_sizes(inputs[0])):
            self._sizes[id(out)] = out
        if (
            name in SQUARES
            and isinstance(out, Tensor)
            and (
                (name == "pow" and isinstance(args[1], (int, float)) and args[1] == 2)
                or name == "square"
                or (name == "mul" and args[0] is args[1])
            )
        ):
            self._squares[id(out)] = out
        for tensor in inputs if self._found else ():
            for each in self._found.get(id(tensor), []):
                self._decide(each, name, args, out)

    def _decide(self, each: Statistic, name: str, args: Sequence[Any], out: Any) -> None:
        """Let a mean be, follow it, or keep its channels whole."""
        first = args[0] if args else None
        divides = name == "div" and first is not each.tensor
        if (each.kind == MEAN and name == "sub" and first is each.source) or (each.kind == SPREAD and divides):
            return
        if each.kind == SHARES and name in {"topk", "gather"}:
            return
        if each.kind == SQUARE and (name in ROOTS or (name == "pow" and isinstance(args[1], float) and abs(args[1]) == 0.5)):
            if name == "sqrt" or (name == "pow" and args[1] > 0):
                self._follow(each, out, SPREAD)
            return
        passing = {MEAN: MOVING, SHARES: {"_to_copy", "detach", "alias", "clone"}, "": set[str]()}.get(each.kind, KEEPING)
        if name in passing and isinstance(out, Tensor) and out.numel() >= each.tensor.numel():
            self._follow(each, out, each.kind)
            return
        self.variables.freeze(each.found, each.reason)

    def _follow(self, each: Statistic, out: Tensor, kind: str) -> None:
        """Go on with what was made of a mean."""
        if out is not each.tensor:
            self._found.setdefault(id(out), []).append(Statistic(out, each.found, each.reason, each.source, kind))
        each.kind = kind if out is each.tensor else each.kind
