"""Four sizes of a pruned network, side by side: four ways to store it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.evaluation.compression import BY, LARGE, Squeeze, squeeze
from prunekit.evaluation.file_layout import Layout, Masks, header, stored
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.models.layers import table_modules

FORMATS = ("dense", "bitmap", "csr", "delta8")
REACH = 256  # positions that one 8-bit step can cover


def _index_bytes(largest: int) -> int:
    """Return the bytes of the smallest unsigned integer type that holds a number."""
    return next(width for width in (1, 2, 4, 8) if largest < 256**width)


def _bitmap(n: int, count: int, item: int) -> int:
    """One bit for each position, then the values."""
    return -(-n // 8) + count * item


def _csr(rows: int, columns: int, count: int, item: int) -> int:
    """Compressed sparse rows: values, column of each, start of each row; smallest index types."""
    return count * (item + _index_bytes(max(columns - 1, 0))) + (rows + 1) * _index_bytes(count)


def _delta8(alive: NDArray[Any], count: int, item: int) -> int:
    """Each value with the number of zeros before it in 8 bits; a longer gap takes stored zeros in between (Han et al. 2016)."""
    positions = np.flatnonzero(alive)
    gaps = np.diff(positions, prepend=-1) - 1
    fillers = int((gaps // REACH).sum()) if count else 0
    return (count + fillers) * (item + 1)


def format_bytes(alive: NDArray[Any], item: int) -> dict[str, int]:
    """Return the payload of one weight tensor in each format that can be the smallest.

    ``alive`` [out, ...]: the values, or True where one is not zero; ``item``: bytes of one value. Format to bytes: ``dense``; ``bitmap`` (a
    bit for each position, then the values); ``csr`` (rows are outputs); ``delta8`` (values with 8-bit gaps; left out where more than an
    eighth is alive, for there the bitmap is smaller). Han, Mao, Dally 2016, Deep Compression (arXiv:1510.00149), for relative indexing with
    filler zeros.
    """
    n, count = alive.size, int(np.count_nonzero(alive))
    rows = alive.shape[0] if alive.ndim else 1
    sizes = {"dense": n * item, "bitmap": _bitmap(n, count, item), "csr": _csr(rows, n // max(rows, 1), count, item)}
    if count * 8 <= n:  # positions are only looked up where they can matter: this keeps a slider quick
        sizes["delta8"] = _delta8(alive.reshape(-1), count, item)
    return sizes


def smallest(sizes: dict[str, int]) -> tuple[str, int]:
    """Return the format that takes least and its bytes, the simpler one where two are equal."""
    best = min(sizes, key=lambda name: (sizes[name], FORMATS.index(name)))
    return best, sizes[best]


FOUR = ("dense", "gzip", "sparse", "surgery")
FORMS = {
    "dense": "file in the dense shape",
    "gzip": "file in the dense shape, gzipped",
    "sparse": "best sparse format",
    "surgery": "file after surgery",
}
"""What the four are called, everywhere."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of a pruned network, stored in four ways.

    Attributes
    ----------
    dense : int
        The safetensors file in the baseline's layout: what was removed is stored as zeros, so this is the baseline's own size.
    gzip : int or None
        That file gzipped, as ``igzip -2`` does it; None where it was not asked for, because compressing takes time.
    sparse : int
        That file with each weight tensor in the smallest of the formats dense, bitmap, CSR and 8-bit gaps.
    surgery : int
        The safetensors file after removed channels are physically gone. Masks remove nothing physically: there it equals ``dense``.
    sparse_format : str
        The formats behind ``sparse``, the one with the most weight tensors first, as in ``bitmap, dense``.
    gzip_low, gzip_high : int or None
        The 95 % interval of a gzipped size that is estimated from a sample; None where it is measured.
    tables : mapping of str to int, optional
        How many of the bytes of ``dense``, ``sparse`` and ``surgery`` are embedding tables; None of a model without.
    """

    dense: int
    gzip: int | None
    sparse: int
    surgery: int
    sparse_format: str
    gzip_low: int | None = None
    gzip_high: int | None = None
    tables: Mapping[str, int] | None = None

    @property
    def gzip_how(self) -> str | None:
        """``measured`` or ``estimated``; None where it was not asked for."""
        return None if self.gzip is None else "measured" if self.gzip_low is None else "estimated"

    def to_dict(self) -> dict[str, Any]:
        """Return the four sizes in bytes, of the gzipped one its interval, how it is known and by which compressor, and those of tables."""
        four = {name: getattr(self, name) for name in FOUR}
        interval = {"gzip_low": self.gzip_low, "gzip_high": self.gzip_high}
        tables = {} if self.tables is None else {"tables": dict(self.tables)}
        return {**four, **interval, "gzip_how": self.gzip_how, "gzip_by": None if self.gzip is None else BY, **tables}


TABLES, BESIDE = "embedding tables", "all else"


def parts(sizes: Mapping[str, Any] | None) -> dict[str, dict[str, int]]:
    """Return what is told apart in sizes, by form: the bytes of embedding tables and of all else; nothing of a model without tables."""
    told, tables = sizes or {}, (sizes or {}).get("tables") or {}
    return {name: {TABLES: n, BESIDE: told[name] - n} for name, n in tables.items() if told.get(name) is not None}


def comparable(sizes: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return stored sizes without a gzipped one of another compressor, as of versions up to 0.4.0: beside today's it would mislead."""
    if sizes is None or not outdated(sizes):
        return None if sizes is None else dict(sizes)
    return {**sizes, "gzip": None, "gzip_low": None, "gzip_high": None, "gzip_how": None, "gzip_by": None}


def gzip_note(sizes: Mapping[str, Any] | None) -> str:
    """Return what to say beside a gzipped size, as in ``estimated ± 0.2 %``; "" where it is measured, or not known."""
    low, high, value = ((sizes or {}).get(name) for name in ("gzip_low", "gzip_high", "gzip"))
    return f"estimated ± {50 * (high - low) / value:.1g} %" if value and low is not None and high is not None else ""


def outdated(sizes: Mapping[str, Any] | None) -> bool:
    """Return whether stored sizes hold a gzipped one of another compressor."""
    return sizes is not None and sizes.get("gzip") is not None and sizes.get("gzip_by") != BY


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
    return _length(stored(model), metadata)


def _length(layout: Layout, metadata: Mapping[str, str] | None = None) -> int:
    """Return the bytes of a file."""
    return len(header(layout, metadata)) + sum(entry.bytes for entry in layout)


def gzip_bytes(model: nn.Module, masks: Masks | None = None, progress: Progress = QUIET) -> int:
    """Return the measured size of the model's safetensors file after gzip."""
    layout = stored(model, masks)
    packer = squeeze(_length(layout), exact=True, progress=progress)
    _walk(layout, packer, progress)
    return packer.finish().bytes


def _within(layout: Layout, modules: frozenset[str]) -> int:
    """Return the bytes of a layout's tensors that modules hold themselves."""
    return sum(entry.bytes for entry in layout if entry.name.rpartition(".")[0] in modules)


def _walk(layout: Layout, packer: Squeeze | None, progress: Progress = QUIET, tables: frozenset[str] = frozenset()) -> tuple[int, str, int]:
    """Go through a file once: compress it, and return its size with each weight tensor in its smallest format, the formats, and tables'."""
    head = header(layout)
    total, used, looked_up = len(head), Counter[str](), 0
    if packer is not None:
        packer.add(np.frombuffer(head, np.uint8))
    for entry in layout:
        progress.check()
        item = entry.dtype.itemsize
        weighs = len(entry.shape) > 1 and entry.dtype.is_floating_point and entry.bytes > 0
        of_table = entry.name.rpartition(".")[0] in tables
        if not weighs:
            total += entry.bytes
            looked_up += of_table * entry.bytes
        if not entry.bytes or not (weighs or packer is not None):
            continue
        values = entry.values()
        if weighs:
            best, size = smallest(format_bytes(_alive(values), item))
            used[best] += 1
            total += size
            looked_up += of_table * size
        if packer is not None:
            packer.add(values.contiguous().reshape(-1).view(torch.uint8).numpy())
    return total, ", ".join(sorted(used, key=lambda f: (-used[f], FORMATS.index(f)))) or "dense", looked_up


def _alive(values: Tensor) -> Any:
    """Return an array that is zero where the values are: themselves where numpy knows their type."""
    return values.numpy() if values.dtype in (torch.float32, torch.float64) else (values != 0).numpy()


def sparse_bytes(model: nn.Module, masks: Masks | None = None) -> tuple[int, str]:
    """Return the size of the file with each weight tensor in its smallest format, and the formats used."""
    return _walk(stored(model, masks), None)[:2]


def sizes(
    model: nn.Module,
    *,
    zeroed: nn.Module | Layout | None = None,
    masks: Masks | None = None,
    surgery_bytes: int | None = None,
    gzip: bool = True,
    exact: bool = False,
    above: int = LARGE,
    progress: Progress | Tell = QUIET,
) -> Sizes:
    """Return the four sizes of a pruned network.

    Parameters
    ----------
    model : nn.Module
        The network as it is handed out: smaller after surgery, with zeros after masking, or dense together with ``masks``.
    zeroed : nn.Module or Layout, optional
        The same network in the baseline's layout, removed channels stored as zeros; ``model`` itself where that is left out.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask over the baseline's layout: saves making a masked copy.
    surgery_bytes : int, optional
        File size after surgery where the smaller model has not been made (yet).
    gzip : bool
        Whether to compress as well: about half a gigabyte a second, so a slider leaves it out and asks again on demand.
    exact : bool
        Compress a large file whole too; its gzipped size is estimated from a sample of blocks otherwise.
    above : int
        From how many bytes on a file is large.
    progress : Progress, optional
        Told how much is compressed; may stop it.

    Returns
    -------
    Sizes
        In bytes.

    Raises
    ------
    PrunekitError
        If a tensor has a type that a safetensors file cannot hold.
    Cancelled
        If ``progress`` was cancelled.
    """
    progress = Progress.of(progress)
    full = zeroed if isinstance(zeroed, list) else stored(model if zeroed is None else zeroed, masks)
    dense = _length(full)
    packer = squeeze(dense, exact=exact, above=above, progress=progress) if gzip else None
    modules = table_modules(model)
    sparse, used, looked_up = _walk(full, packer, progress, modules)
    packed = None if packer is None else packer.finish()
    told = (None, None, None) if packed is None else (packed.bytes, packed.low, packed.high)
    tables = {"dense": _within(full, modules), "sparse": looked_up, "surgery": _within(stored(model), modules)} if modules else None
    surgery = file_bytes(model) if surgery_bytes is None else surgery_bytes
    return Sizes(dense, told[0], sparse, surgery, used, *told[1:], tables=tables)
