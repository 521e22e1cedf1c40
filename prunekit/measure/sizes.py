"""Four sizes of a pruned network, side by side: four ways to store it."""

from __future__ import annotations

import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.anatomy.state import tensor_state
from prunekit.errors import PrunekitError
from prunekit.measure.forward import check_cancel
from prunekit.measure.sparse import FORMATS, format_bytes, smallest

Masks = Mapping[str, Tensor]
GZIP_LEVEL = 6

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


@dataclass(frozen=True)
class Sizes:
    """Bytes of a pruned network, stored in four ways.

    Attributes
    ----------
    dense : int
        The safetensors file in the baseline's layout: what was removed is stored as zeros, so this is the baseline's own size.
    gzip : int or None
        That file gzipped (level 6); None where it was not asked for, because compressing takes time.
    sparse : int
        That file with each weight tensor in the smallest of the formats dense, bitmap, CSR and 8-bit gaps.
    surgery : int
        The safetensors file after removed channels are physically gone. Masks remove nothing physically: there it equals ``dense``.
    sparse_format : str
        The formats behind ``sparse``, the one with the most weight tensors first, as in ``bitmap, dense``.
    """

    dense: int
    gzip: int | None
    sparse: int
    surgery: int
    sparse_format: str

    def to_dict(self) -> dict[str, int | None]:
        """Return the four sizes in bytes."""
        return {"dense": self.dense, "gzip": self.gzip, "sparse": self.sparse, "surgery": self.surgery}


def _entries(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the state in the order of a safetensors file: wide types first, then by name."""
    state = tensor_state(model)
    for name, tensor in state.items():
        if tensor.dtype not in _TYPES:
            raise PrunekitError(f"cannot tell the file size: {name} has the type {tensor.dtype}; convert the model to float32")
    order = list(_TYPES)
    return sorted(state.items(), key=lambda entry: (-order.index(entry[1].dtype), entry[0].encode()))


def _header(entries: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str] | None) -> bytes:
    """Return the head of a safetensors file: length, then names, types, shapes and places as JSON."""
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, tensor in entries:
        end = place + tensor.numel() * tensor.element_size()
        table[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def file_bytes(model: nn.Module, metadata: Mapping[str, str] | None = None) -> int:
    """Return the size of a model's safetensors file without writing it.

    Parameters
    ----------
    model : nn.Module
        Any model; its whole state dict counts, buffers too.
    metadata : mapping of str to str, optional
        What the file says about itself.

    Returns
    -------
    int
        Bytes.
    """
    entries = _entries(model)
    return len(_header(entries, metadata)) + sum(tensor.numel() * tensor.element_size() for _, tensor in entries)


def _masked(name: str, tensor: Tensor, masks: Masks) -> Tensor:
    """Return a tensor of the state with what its mask removes as zero; masks are keyed by layer."""
    mask = masks.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    return tensor.cpu() if mask is None else torch.where(mask.to(tensor.device), tensor, torch.zeros_like(tensor)).cpu()


def _file_parts(model: nn.Module, masks: Masks) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the safetensors file piece by piece."""
    entries = _entries(model)
    yield _header(entries, None)
    for name, tensor in entries:
        if tensor.numel():
            yield _masked(name, tensor, masks).contiguous().reshape(-1).view(torch.uint8).numpy().data


def gzip_bytes(model: nn.Module, masks: Masks | None = None, cancel: threading.Event | None = None) -> int:
    """Return the size of the model's safetensors file after gzip (level 6, no name, no time).

    Parameters
    ----------
    model : nn.Module
        In the layout to store.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask: what it removes is stored as zeros.
    cancel : threading.Event, optional
        Looked at before each megabyte.

    Returns
    -------
    int
        Bytes. Nothing is written, and the file is never in memory as a whole.
    """
    squeeze = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)  # 31: with the gzip wrapper
    size, step = 0, 1 << 20
    for part in _file_parts(model, masks or {}):
        for start in range(0, len(part), step):
            check_cancel(cancel)
            size += len(squeeze.compress(part[start : start + step]))
    return size + len(squeeze.flush())


def _alive(name: str, tensor: Tensor, masks: Masks) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return where a weight tensor is not zero."""
    mask = masks.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    alive = tensor.cpu() != 0
    return (alive if mask is None else alive & mask.cpu()).numpy()


def sparse_bytes(model: nn.Module, masks: Masks | None = None) -> tuple[int, str]:
    """Return the size of the file with each weight tensor in its smallest format, and the formats used.

    Parameters
    ----------
    model : nn.Module
        In the layout to store.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask (or what broadcasts to the weight's shape): what it removes counts as zero.

    Returns
    -------
    int
        Bytes: the header of the dense file, the weight tensors (floating, two axes or more) each in the smallest format, the rest dense.
    str
        Formats by number of weight tensors, as in ``bitmap, dense``.
    """
    entries = _entries(model)
    total, used = len(_header(entries, None)), Counter[str]()
    for name, tensor in entries:
        item = tensor.element_size()
        if tensor.ndim < 2 or not tensor.is_floating_point() or not tensor.numel():
            total += tensor.numel() * item
            continue
        best, size = smallest(format_bytes(_alive(name, tensor, masks or {}), item))
        used[best] += 1
        total += size
    return total, ", ".join(sorted(used, key=lambda f: (-used[f], FORMATS.index(f)))) or "dense"


def sizes(
    model: nn.Module,
    *,
    zeroed: nn.Module | None = None,
    masks: Masks | None = None,
    surgery_bytes: int | None = None,
    gzip: bool = True,
    cancel: threading.Event | None = None,
) -> Sizes:
    """Return the four sizes of a pruned network.

    Parameters
    ----------
    model : nn.Module
        The network as it is handed out: smaller after surgery, with zeros after masking, or dense together with ``masks``.
    zeroed : nn.Module, optional
        The same network in the baseline's layout, removed channels stored as zeros; ``model`` itself where that is left out.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask over the baseline's layout: saves making a masked copy.
    surgery_bytes : int, optional
        File size after surgery where the smaller model has not been made (yet).
    gzip : bool
        Whether to compress as well: about 20 MB a second, so a slider leaves it out and asks again on demand.
    cancel : threading.Event, optional
        Stops the compression.

    Returns
    -------
    Sizes
        In bytes.

    Raises
    ------
    PrunekitError
        If a tensor has a type that a safetensors file cannot hold.
    Cancelled
        If ``cancel`` was set.
    """
    full = model if zeroed is None else zeroed
    sparse, used = sparse_bytes(full, masks)
    packed = gzip_bytes(full, masks, cancel) if gzip else None
    return Sizes(file_bytes(full), packed, sparse, file_bytes(model) if surgery_bytes is None else surgery_bytes, used)
