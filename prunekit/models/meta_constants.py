"""Tensors without values of which it is known that all their elements are one number: masks that forward() makes, and asks about."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
CONSTANT = "prunekit_constant"  # attribute of a tensor: a list of one number, which its views share, or of None once it is written to
MADE = {aten.ones: 1, aten.ones_like: 1, aten.new_ones: 1, aten.zeros: 0, aten.zeros_like: 0, aten.new_zeros: 0}
KEPT = {
    *(aten._to_copy, aten.view, aten.expand, aten.slice, aten.select, aten.unsqueeze, aten.squeeze, aten.clone, aten.detach, aten.permute),
    *(aten.index, aten.upsample_nearest2d, aten._unsafe_view, aten.repeat, aten.copy),
    *(aten.transpose, aten.alias, aten.all, aten.any, aten.min, aten.max, aten.amin, aten.amax, aten._local_scalar_dense),
}
COMPARED: dict[Any, Callable[[Any, Any], bool]] = {
    **{aten.eq: operator.eq, aten.ne: operator.ne, aten.lt: operator.lt, aten.le: operator.le, aten.gt: operator.gt, aten.ge: operator.ge},
}


def constant_of(operation: Any, args: tuple[Any, ...]) -> Any:
    """Return the number that every element of an operation's result is, where that is known without values."""
    if operation in MADE:
        return MADE[operation]
    if operation in {aten.full, aten.full_like, aten.new_full} and isinstance(args[-1], (int, float)):
        return args[-1]
    (value,) = getattr(args[0], CONSTANT, [None]) if args and isinstance(args[0], Tensor) else [None]
    if value is None or operation in KEPT:
        return value
    if operation is aten.sum and len(args) == 1:
        return int(value) * args[0].numel()
    compared = operation in COMPARED and isinstance(args[1], (int, float))
    return COMPARED[operation](value, args[1]) if compared else None


def remember(func: Any, args: tuple[Any, ...], out: Any, value: Any) -> None:
    """Note what is known of a result, and forget what was known of a tensor that is written to, or of what it is a view of."""
    if func._schema.is_mutable:
        for tensor in args:
            for written in (tensor, tensor._base) if isinstance(tensor, Tensor) else ():
                if hasattr(written, CONSTANT):
                    getattr(written, CONSTANT)[0] = None
    elif value is not None and isinstance(out, Tensor) and out.is_meta:
        shared = func.is_view and args and hasattr(args[0], CONSTANT)
        setattr(out, CONSTANT, getattr(args[0], CONSTANT) if shared else [bool(value) if out.dtype == torch.bool else value])
