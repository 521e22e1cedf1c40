"""What a safetensors file of a model holds, tensor by tensor: no value is made before it is asked for, and none is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from prunekit.errors import PrunekitError
from prunekit.models.shared_rows import TableCut
from prunekit.models.state import tensor_state, tied_names
from prunekit.pruning.masked_reference import removed_mask
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Bools
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor

Masks = Mapping[str, Tensor]

# in the order in which safetensors lays types out, last first
_TYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.complex64: "C64",
    torch.float64: "F64",
    torch.int64: "I64",
}


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor of a file: its name, shape and type, and what makes its values, on the CPU."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    values: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        """What its values take."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


Layout = list[Entry]


def stored(model: nn.Module, masks: Masks | None = None) -> Layout:
    """Return the layout of a model's file, with zeros for what masks, keyed by layer, remove; tied tensors stand there once."""
    tied = tied_names(model)
    found = {tied.get(name, name): mask for name in tensor_state(model) if (mask := _mask(name, masks or {})) is not None}
    return _ordered(
        Entry(name, tuple(tensor.shape), tensor.dtype, partial(_masked, tensor, found.get(name)))
        for name, tensor in tensor_state(model).items()
        if name not in tied
    )


def widened(model: nn.Module, small: nn.Module, plan: Removal) -> Layout:
    """Return the layout of a smaller model in the dense shape, zeros for removed channels."""
    keeps, left = by_tensor(plan.masks), dict((*small.named_parameters(), *small.named_buffers()))
    first = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}  # tied ones under one name
    found, tied = [], tied_names(model)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or name in tied:
            continue  # of get_extra_state: no tensor of the file
        known = first.get(id(tensor), name)
        keep = keeps.get(known, {})
        if known in left:
            values = partial(_wide, left[known], tuple(tensor.shape), keep, plan.by_weight.get(known))
        else:  # its whole block went
            gone = within(known, plan.blocks) and isinstance(tensor, nn.Parameter)
            values = partial(_zeros, tensor.detach(), None if gone else keep)
        found.append(Entry(name, tuple(tensor.shape), tensor.dtype, values))
    return _ordered(found)


def _mask(name: str, masks: Masks) -> Tensor | None:
    """Return the mask of a tensor of the state; masks are keyed by layer."""
    return masks.get(name.removesuffix(".weight")) if name.endswith(".weight") else None


def _masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Return a tensor with what its mask removes as zero."""
    if mask is None:
        return tensor.cpu()
    return torch.where(mask.to(tensor.device), tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device)).cpu()


def _wide(small: Tensor, shape: tuple[int, ...], keep: Mapping[int, Bools], rows: TableCut | None = None) -> Tensor:
    """Return a tensor in the dense shape: what stayed in its places, zeros elsewhere."""
    found = small.detach().cpu()
    if rows is not None:
        found = found.new_zeros((shape[0], *found.shape[1:])).index_copy_(0, torch.from_numpy(rows.order), found[:-1])
    for axis, kept in keep.items():
        wide = found.new_zeros((*found.shape[:axis], shape[axis], *found.shape[axis + 1 :]))
        found = wide.index_copy_(axis, torch.from_numpy(kept.nonzero()[0]), found)
    return found


def _zeros(tensor: Tensor, keep: Mapping[int, Bools] | None) -> Tensor:
    """Return a tensor with zeros where an axis's elements go; nothing but zeros where none stay."""
    if keep is None:
        return torch.zeros_like(tensor, device="cpu")
    return tensor.cpu().masked_fill(removed_mask(tuple(tensor.shape), dict(keep)), 0) if keep else tensor.cpu()


def _ordered(entries: Iterable[Entry]) -> Layout:
    """Return entries in the order of a safetensors file: wide types first, then by name."""
    found = list(entries)
    for entry in found:
        if entry.dtype not in _TYPES:
            raise PrunekitError(f"cannot tell the file size: {entry.name} has the type {entry.dtype}; convert the model to float32")
    order = list(_TYPES)
    return sorted(found, key=lambda entry: (-order.index(entry.dtype), entry.name.encode()))


def header(layout: Layout, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the head of a safetensors file: length, then names, types, shapes and places as JSON."""
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for entry in layout:
        end = place + entry.bytes
        table[entry.name] = {"dtype": _TYPES[entry.dtype], "shape": list(entry.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
