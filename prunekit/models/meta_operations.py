"""Operations on meta tensors, where only a shape comes out: made straight away.

torch's meta kernels of these operations are decompositions in Python, and would take most of the time of a forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from prunekit.tasks.known_values import bare, computed, is_known, know, remember, values_of

aten = torch.ops.aten
Args = tuple[Any, ...]
Shortcut = Callable[[Args], Any]


def without_values(func: Any, args: Args, kwargs: dict[str, Any], *, most: bool = False) -> Any:
    """Run an operation for a dispatch mode; on meta tensors, what only has to have a shape is made straight away."""
    shortcut = None if kwargs or (args and is_known(args[0])) else SHORTCUTS.get(func.overloadpacket)
    found = None if shortcut is None or not _plain(args[0]) else shortcut(args)
    if found is not None:
        return found
    values = computed(func, args, kwargs)
    if values is not None and func.overloadpacket is aten._to_copy and kwargs.get("device") == torch.device("cpu"):
        return values  # lengths of sequences, say: what asks for them there has to have them
    if values is not None and func.overloadpacket in VALUES:
        return values if func.overloadpacket is aten._local_scalar_dense else _noted(bare(values), values, args)
    if func.overloadpacket is aten.index:
        args = (args[0], [numbers for index in args[1] for numbers in _numbers(index, most)])
    if most and func.overloadpacket in PICKED and values is None and args[0].is_meta:
        return PICKED[func.overloadpacket](args)
    out = _noted(_with_constants(func, args, kwargs), values, args)
    if func.overloadpacket is aten._to_copy and not args[0].is_meta and not args[0].is_floating_point() and not args[0].is_complex():
        return know(out, args[0])  # numbers of places that were made on the processor
    return out


def _numbers(index: Tensor | None, most: bool) -> list[Tensor | None]:
    """Return the places that a known mask picks, without values, and of an unknown one as many as it may pick; any other index as it is."""
    if index is None or index.dtype not in {torch.bool, torch.uint8}:
        return [index]
    mask = values_of(index)
    if mask is None and most and index.is_meta:
        return list(_empty(index, (index.dim(), index.numel())).long())
    return [index] if mask is None else [bare(places) for places in mask.nonzero(as_tuple=True)]


PICKED: dict[Any, Shortcut] = {
    aten.nonzero: lambda args: _empty(args[0], (args[0].numel(), args[0].dim())).long(),
    aten.masked_select: lambda args: torch.where(args[1], args[0], args[0]).flatten(),
}  # what they return is as long as there are elements of a kind
VALUES = {
    *(aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.equal),
    *(aten.bincount, aten.repeat_interleave),
}  # what they return depends on values


def _noted(out: Any, values: Any, args: Args) -> Any:
    """Return what an operation gives, of which the values are noted where they are known."""
    if values is not None:
        remember(out, values, args)
    return out


def _with_constants(func: Any, args: Args, kwargs: dict[str, Any]) -> Any:
    """Run an operation; tensors that forward() makes on the CPU lose their values where they meet the others."""
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        if "device" not in str(error) or func._schema.is_mutable:
            raise
        moved = tree_map_only(Tensor, lambda t: t.to("meta") if t.device.type == "cpu" else t, (args, kwargs))
        return func(*moved[0], **moved[1])


def _plain(x: Any) -> bool:
    """Return whether something is a meta tensor, or a list that starts with one."""
    first = x[0] if isinstance(x, (list, tuple)) and x else x
    return isinstance(first, Tensor) and first.is_meta


def _empty(x: Tensor, shape: Iterable[int]) -> Tensor:
    """Return a tensor of another one's type; on the meta device ``new_empty`` is a decomposition, too."""
    return torch.empty(tuple(shape), dtype=x.dtype, device="meta")


def _like(x: Tensor) -> Tensor:
    """Return a tensor of the same shape, type and order in memory."""
    return _empty(x, x.shape) if x.is_contiguous() else torch.empty_like(x)


def _alike(args: Args) -> Tensor:
    """Return a tensor like the first one."""
    return _like(args[0])


def _itself(args: Args) -> Any:
    """Return the first tensor: an operation in place."""
    return args[0]


def _batch_norm(args: Args) -> Any:
    """Return a tensor like the first one, and statistics of its channels."""
    x = args[0]
    return _like(x), _empty(x, (x.shape[1],)), _empty(x, (x.shape[1],))


def _layer_norm(args: Args) -> Any:
    """Return a tensor like the first one, and statistics over its last axes."""
    x, normalised = args[:2]
    lead = (*x.shape[: x.dim() - len(normalised)], *[1] * len(normalised))
    return _empty(x, x.shape), _empty(x, lead), _empty(x, lead)


def _larger(args: Args) -> Any:
    """Return which of two operands of one floating-point type has the shape of the result; None where neither has."""
    a, b = args[:2]
    if len(args) > 2 or not a.is_floating_point():
        return None
    if not isinstance(b, Tensor):
        return a if isinstance(b, (int, float)) else None
    if a.shape == b.shape and a.dtype == b.dtype:
        return a
    if a.dtype != b.dtype or not b.is_meta:
        return None
    wide, narrow = (a, b) if a.numel() >= b.numel() else (b, a)
    fits = all(n in {1, w} for n, w in zip(reversed(narrow.shape), reversed(wide.shape), strict=False))
    return wide if fits and narrow.dim() <= wide.dim() else None


def _elementwise(args: Args) -> Tensor | None:
    """Return a tensor like the larger of two."""
    large = _larger(args)
    return None if large is None else _like(large)


def _onto(args: Args) -> Tensor | None:
    """Return the first of two tensors, if the second one fits onto it: an operation in place."""
    return args[0] if _larger(args) is args[0] else None


def _mean(args: Args) -> Any:
    """Return a tensor without some axes."""
    x = args[0]
    if len(args) < 2 or not args[1] or not isinstance(args[1], (list, tuple)) or not x.is_floating_point() or len(args) > 3:
        return None
    if any(not -x.dim() <= dim < x.dim() for dim in args[1]):
        return None
    gone = {dim % x.dim() for dim in args[1]}
    if len(gone) < len(args[1]):
        return None
    keep = len(args) > 2 and args[2]
    shape = [1 if axis in gone else size for axis, size in enumerate(x.shape) if keep or axis not in gone]
    return _empty(x, shape)


def _cat(args: Args) -> Any:
    """Join tensors that are alike but for one axis."""
    parts, dim = args[0], args[1] if len(args) > 1 else 0
    first = parts[0]
    if not 0 <= dim < first.dim():
        return None
    kinds = {(part.is_meta, part.dtype, part.shape[:dim], part.shape[dim + 1 :], part.dim(), part.is_contiguous()) for part in parts}
    if len(kinds) > 1 or not first.is_contiguous():
        return None
    return _empty(first, (*first.shape[:dim], sum(part.shape[dim] for part in parts), *first.shape[dim + 1 :]))


def _convolution(args: Args) -> Any:
    """Convolve; a transposed convolution is left to torch."""
    x, weight, _, stride, padding, dilation, transposed, _, groups = args
    side = weight.dim() - 2
    fits = x.dim() == weight.dim() and x.shape[1] == weight.shape[1] * groups and x.dtype == weight.dtype
    if transposed or not fits or not x.is_contiguous() or any(len(told) != side for told in (stride, padding, dilation)):
        return None
    sides = [
        (size + 2 * p - d * (kernel - 1) - 1) // s + 1
        for size, kernel, s, p, d in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ]
    return _empty(x, (x.shape[0], weight.shape[0], *sides)) if min(sides, default=1) > 0 and math.prod(weight.shape) else None


def _max_pool(args: Args) -> Any:
    """Pool without dilation; torch's own way checks its numbers with sympy, whose import takes half a second of every start."""
    x, window = args[:2]
    told = [window, (args[2] if len(args) > 2 else []) or window, args[3] if len(args) > 3 else [0, 0]]
    if len(args) > 4 or x.dim() != 4 or not x.is_floating_point() or not x.is_contiguous() or any(len(side) != 2 for side in told):
        return None
    if any(kernel <= 0 or s <= 0 or not 0 <= 2 * p <= kernel for kernel, s, p in zip(*told, strict=True)):
        return None
    sides = [(size + 2 * p - kernel) // s + 1 for size, kernel, s, p in zip(x.shape[2:], *told, strict=True)]
    if min(*sides, *x.shape[1:]) <= 0:
        return None
    shape = (*x.shape[:2], *sides)
    return _empty(x, shape), torch.empty(shape, dtype=torch.int64, device="meta")


def _addmm(args: Args) -> Any:
    """Multiply two matrices and add a vector."""
    bias, a, b = args
    fits = a.dim() == b.dim() == 2 and bias.dim() == 1 and a.shape[1] == b.shape[0] and bias.shape[0] == b.shape[1]
    return _empty(a, (a.shape[0], b.shape[1])) if fits and bias.dtype == a.dtype == b.dtype and a.is_meta and b.is_meta else None


SHORTCUTS: dict[Any, Shortcut] = {
    **dict.fromkeys((aten.gelu, aten.silu, aten.hardswish, aten.hardsigmoid, aten.hardtanh, aten.relu, aten.sigmoid), _alike),
    **dict.fromkeys((aten.relu_, aten.hardtanh_, aten.hardswish_, aten.hardsigmoid_, aten.silu_, aten.sigmoid_, aten.gelu_), _itself),
    **dict.fromkeys((aten.add, aten.sub, aten.mul, aten.div), _elementwise),
    **dict.fromkeys((aten.add_, aten.sub_, aten.mul_, aten.div_), _onto),
    aten.native_batch_norm: _batch_norm,
    aten.native_layer_norm: _layer_norm,
    aten.mean: _mean,
    aten.cat: _cat,
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.addmm: _addmm,
}
