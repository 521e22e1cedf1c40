"""What costs multiply-accumulates, as a constant times the lengths of axes: so that a plan is counted without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.pruning.structured.axis_tracker import Tracker
from prunekit.pruning.structured.coupling_solver import Ids

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
