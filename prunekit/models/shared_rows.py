"""Embedding tables in which one row stands for all that went, found through a remap of the ids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Bools = NDArray[np.bool_]
Table = nn.Embedding | nn.EmbeddingBag
REMAPS = (torch.uint8, torch.int16, torch.int32)


def remapped(remap: Tensor, ids: Tensor) -> Tensor:
    """Return which row each id finds; an id beyond the table is an error, as it is there."""
    # by addition to the type of the ids: for a conversion torch.export writes a check that an input called device breaks
    return torch.zeros_like(ids) + remap.index_select(0, ids.reshape(-1)).reshape(ids.shape)


class SharedRowEmbedding(nn.Embedding):
    """``nn.Embedding`` that holds fewer rows than it takes ids.

    ``remap`` says for each of the ``num_embeddings`` ids which of the ``rows`` rows of the weight is its own; the last is shared by all
    ids whose row went. A padding row comes first.
    """

    remap: Tensor
    rows: int

    def forward(self, input: Tensor) -> Tensor:
        """Look ids up; what the table was made with keeps its meaning."""
        rows = remapped(self.remap, input)
        padding = None if self.padding_idx is None else 0
        return F.embedding(rows, self.weight, padding, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self) -> str:
        """Say how many rows there are."""
        return f"{super().extra_repr()}, rows={self.rows}"


class SharedRowEmbeddingBag(nn.EmbeddingBag):
    """``nn.EmbeddingBag`` that holds fewer rows than it takes ids; as `SharedRowEmbedding`."""

    remap: Tensor
    rows: int

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Look bags of ids up; what the table was made with keeps its meaning."""
        rows = remapped(self.remap, input)
        return F.embedding_bag(
            rows, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights,
            self.include_last_offset, None if self.padding_idx is None else 0,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Say how many rows there are."""
        return f"{super().extra_repr()}, rows={self.rows}"


SHARED = {"Embedding": SharedRowEmbedding, "EmbeddingBag": SharedRowEmbeddingBag}
REMAP = "remap"
ROWS = "rows"  # what stored widths call the number of rows of such a table


def share(module: Table, remap: Tensor | None = None) -> None:
    """Let a table find its rows by a remap, in place; without one until its values are put in."""
    if not isinstance(module, tuple(SHARED.values())):
        module.__class__ = SHARED[type(module).__name__]
    empty = torch.zeros(0, dtype=REMAPS[-1])
    module.register_buffer(REMAP, empty if remap is None else remap)
    setattr(module, ROWS, module.weight.shape[0])


def is_shared(module: nn.Module) -> bool:
    """Return whether a module is a table that lost rows."""
    return isinstance(module, tuple(SHARED.values()))


def table_of(model: nn.Module, name: str) -> Table:
    """Return an embedding table of a model by name."""
    module = model.get_submodule(name)
    assert isinstance(module, (nn.Embedding, nn.EmbeddingBag))
    return module


def row_of_id(table: Table) -> NDArray[np.int64]:
    """Return for each id of a table which row of its weight is its own."""
    if isinstance(table, (SharedRowEmbedding, SharedRowEmbeddingBag)):
        return np.asarray(table.remap.cpu().numpy(), dtype=np.int64)
    return np.arange(table.num_embeddings)


@dataclass(frozen=True, eq=False)
class TableCut:
    """Which rows of one table go, and what takes their place."""

    keep: Bools  # by row of the weight: whether it stays
    lookups: NDArray[np.float64]  # how much each row counts in the one that is shared: how often it is looked up, or one each
    ids: NDArray[np.int64]  # by id: which row of the weight is its own
    padding: int | None = None  # the row that pads, which stays and comes first
    norm: tuple[float, float] | None = field(default=None)  # largest norm that a row has when it is looked up, and of which kind

    @classmethod
    def of(cls, module: Table, keep: Bools, lookups: NDArray[np.float64]) -> TableCut:
        """Return the cut of a table that leaves some rows: what pads stays, and what is shared already goes into the new shared row."""
        ids = row_of_id(module)
        padding = None if module.padding_idx is None else int(ids[module.padding_idx])
        keep = keep.copy()
        keep[-1:] &= not is_shared(module)
        if padding is not None:
            keep[padding] = True
        return cls(keep, lookups, ids, padding, None if module.max_norm is None else (module.max_norm, module.norm_type))

    @classmethod
    def between(cls, table: Table, small: Table) -> TableCut | None:
        """Return the cut that led from a table to what took its place, as far as that tells it; None where no row went."""
        if not isinstance(small, (SharedRowEmbedding, SharedRowEmbeddingBag)) or small.weight.shape[0] == table.weight.shape[0]:
            return None
        ids, keep = row_of_id(table), np.zeros(table.weight.shape[0], dtype=np.bool_)
        keep[ids[row_of_id(small) < small.rows - 1]] = True
        return cls.of(table, keep, np.ones(keep.size))

    @property
    def order(self) -> NDArray[np.int64]:
        """The rows that stay, in the order in which they will stand."""
        stay = np.flatnonzero(self.keep)
        return stay if self.padding is None else np.concatenate([[self.padding], stay[stay != self.padding]])

    @property
    def rows(self) -> int:
        """How many rows there will be, the shared one among them."""
        return int(self.keep.sum()) + 1

    @property
    def kept_ids(self) -> tuple[int, ...]:
        """The ids that keep a row of their own."""
        return tuple(np.flatnonzero(self.keep[self.ids]).tolist())

    @property
    def remap(self) -> Tensor:
        """For each id its new row, in the smallest type of whole numbers that holds them."""
        new = np.full(self.keep.size, self.rows - 1)
        new[self.order] = np.arange(self.rows - 1)
        kind = next(kind for kind in REMAPS if self.rows - 1 <= torch.iinfo(kind).max)
        return torch.from_numpy(new[self.ids]).to(kind)

    @property
    def added_bytes(self) -> int:
        """How many bytes the remap takes."""
        return self.remap.numel() * self.remap.element_size()

    def shared(self, weight: Tensor) -> Tensor:
        """Return the row that stands for those that go: their mean as they are looked up, by how often each of them is."""
        gone = torch.from_numpy(np.flatnonzero(~self.keep)).to(weight.device)
        rows = weight.detach().index_select(0, gone).double()
        if self.norm is not None:
            sizes = rows.norm(self.norm[1], 1, keepdim=True)
            rows = torch.where(sizes > self.norm[0], rows * (self.norm[0] / (sizes + 1e-7)), rows)
        often = torch.from_numpy(self.lookups[~self.keep]).to(rows)
        often = often if bool(often.sum() > 0) else torch.ones_like(often)
        return ((often / often.sum()) @ rows).to(weight.dtype)

    def cut(self, weight: Tensor) -> Tensor:
        """Return the rows that stay, and the shared one behind them."""
        stay = torch.from_numpy(self.order).to(weight.device)
        return torch.cat([weight.detach().index_select(0, stay), self.shared(weight)[None]])
