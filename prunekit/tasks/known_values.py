"""Tensors without values of which the values are known all the same: masks, places and whole numbers that follow from no parameter.

What forward() asks of them, such as whether a mask hides anything, is answered; what is computed of them alone is known too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map, tree_map_only

aten = torch.ops.aten
KNOWN = "prunekit_known"  # attribute of a tensor without values
MOST = 2**22  # elements: a larger tensor is not computed along
UNFILLED = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided, aten.empty_permuted}


class _Values:
    """Values of one tensor, and a list, shared with all views of the same memory, that is no longer empty once these are stale."""

    def __init__(self, tensor: Tensor, spoiled: list[bool]) -> None:
        self.tensor, self.spoiled = tensor, spoiled


def know(tensor: Tensor, values: Tensor) -> Tensor:
    """Note the values of a tensor without values, if they are not too many; return the tensor."""
    if tensor.is_meta and values.numel() <= MOST:
        setattr(tensor, KNOWN, _Values(values.detach().cpu().clone(), []))
    return tensor


def is_known(values: Any) -> bool:
    """Return whether something, or the first of a list, is a tensor of which the values were noted."""
    return hasattr(values[0] if isinstance(values, (list, tuple)) and values else values, KNOWN)


def values_of(tensor: Tensor) -> Tensor | None:
    """Return the values of a tensor that has none itself; None where they are not known."""
    known = getattr(tensor, KNOWN, None)
    return known.tensor if known is not None and not known.spoiled else None


def computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what an operation gives on known values; None where some of them are not known, or where it draws random numbers.

    An operation that writes into a tensor writes into its known values too, or makes them stale.
    """
    values, given = None, list(_tensors((*args, *kwargs.values())))
    if not any(hasattr(tensor, KNOWN) for tensor in given) and (given or torch.device(kwargs.get("device") or "cpu").type != "meta"):
        return None
    if torch.Tag.nondeterministic_seeded not in func.tags:
        try:
            told = tree_map(_value, (args, kwargs))
            with torch.no_grad():
                values = func(*told[0], **told[1])
            if func.overloadpacket in UNFILLED:  # numbers are put there next, as those of an order turned round
                values = None if values.is_floating_point() or values.is_complex() else values.zero_()
        except (_Unknown, RuntimeError, ValueError, IndexError, NotImplementedError):
            values = None  # what is wrong with the call is told by the call itself
    if func._schema.is_mutable and values is None:
        for argument, part in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                _spoil(part)
    return values


def remember(out: Any, values: Any, args: tuple[Any, ...]) -> None:
    """Note the values of an operation's results."""
    if isinstance(out, Tensor):
        if out.is_meta and isinstance(values, Tensor) and values.numel() <= MOST:
            setattr(out, KNOWN, _Values(values, _shared(values, args)))
    elif isinstance(out, (list, tuple)) and isinstance(values, (list, tuple)):
        for one, value in zip(out, values, strict=True):
            remember(one, value, args)


def bare(values: Any) -> Any:
    """Return tensors of the same shapes and types without values."""
    return tree_map_only(Tensor, lambda t: torch.empty(t.shape, dtype=t.dtype, device="meta"), values)


class _Unknown(Exception):
    """A tensor has no known values."""


def _value(part: Any) -> Any:
    """Return what stands for an argument: the values of a tensor, the processor for the device without values."""
    if isinstance(part, Tensor):
        known = values_of(part)
        if known is not None:
            return known
        if part.device.type == "cpu" and part.numel() <= MOST:
            return part
        raise _Unknown
    return torch.device("cpu") if isinstance(part, torch.device) and part.type == "meta" else part


def _shared(values: Tensor, args: tuple[Any, ...]) -> list[bool]:
    """Return the list of the memory that values lie in."""
    for given in _tensors(args):
        known = getattr(given, KNOWN, None)
        if known is not None and known.tensor.untyped_storage().data_ptr() == values.untyped_storage().data_ptr():
            found: list[bool] = known.spoiled
            return found
    return []


def _tensors(args: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments."""
    for given in args:
        if isinstance(given, Tensor):
            yield given
        elif isinstance(given, (list, tuple)):
            yield from _tensors(given)


def _spoil(given: Any) -> None:
    """Make the values of what is written to stale, and those of what shares its memory."""
    for tensor in _tensors([given]):
        known = getattr(tensor, KNOWN, None)
        if known is not None:
            known.spoiled.append(True)
