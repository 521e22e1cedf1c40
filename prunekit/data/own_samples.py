"""`OwnSamples`: a user's dataset of anything, as inputs that a model takes and a target of its task."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.data.dataset import Picture, Split
from prunekit.data.stratified import Indices
from prunekit.errors import DataError
from prunekit.local_code.contract import wrong
from prunekit.tasks.batch import Batch, Collate, collate
from prunekit.tasks.nested import named_tensors
from prunekit.tasks.registry import TASKS

MOST_HASHED = 4096
"""So many samples, evenly spaced, tell a split from another."""


def check_no_nan(value: Any, where: str) -> None:
    """Raise if a tensor among inputs or targets holds NaN: an average over samples would hide which one it was."""
    tensors = [tensor for _, tensor in named_tensors(value, "") if tensor.is_floating_point()]
    if any(bool(tensor.isnan().any()) for tensor in tensors) or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{where} holds NaN: repair that sample, or leave it out")


class OwnSamples(Split):
    """A user's map-style dataset of pairs (inputs, target): inputs are a tensor, a tuple or a dict, nested as they like.

    ``dataset``: ``len(dataset)`` and ``dataset[i] -> (inputs, target)``.
    """

    pictured = False  # nobody knows how to show them

    def __init__(self, dataset: Any, name: str, indices: Indices | None = None, own: Collate | None = None, task: Any = None) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise wrong(f"{name} is a {type(dataset).__name__}, which has no len() or no [i]", DataError)
        self.dataset, self.name = dataset, name
        self.collate = own or getattr(dataset, "collate", None)
        self.task = getattr(dataset, "task", None) or task
        self._indices = np.arange(len(dataset)) if indices is None else indices
        if not self._indices.size:
            raise DataError(f"{name} is empty: it needs at least one sample")

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self._indices.size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target as the dataset gives them."""
        place = int(self._indices[range(len(self))[index]])
        try:
            inputs, target = self.dataset[place]
        except (TypeError, ValueError) as error:
            raise wrong(f"{self.name}[{place}] is not a pair (inputs, target): {' '.join(str(error).split())}", DataError) from error
        except Exception as error:
            raise DataError(f"{self.name}[{place}] failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if self.collate is None and (self.task is None or self.task in list(TASKS)):
            for part in (inputs, target):
                check_no_nan(part, f"{self.name}[{place}]")
        return inputs, target

    def batch_at(self, indices: Indices) -> Batch:
        """Return some samples, put together."""
        return collate([self[int(i)] for i in indices], self.collate)

    def images(self, indices: Indices) -> Tensor:
        """Raise: samples of anything are no images."""
        raise DataError(f"{self.name} holds no images but inputs of its own form")

    def picture(self, i: int) -> Picture:
        """Raise: samples of anything have no picture."""
        raise DataError(f"{self.name} holds no images but inputs of its own form")

    def take(self, indices: Indices) -> OwnSamples:
        """Return the samples at ``indices``, in that order, as a split of its own."""
        part = OwnSamples(self.dataset, self.name, self._indices[np.asarray(indices, dtype=np.int64)], self.collate)
        part.code, part.guesses, part.classes, part.task = self.code, self.guesses, self.classes, self.task
        return part

    def subset(self, n: int) -> OwnSamples:
        """Return a fixed random choice of ``n`` samples in their order, or the split itself; a smaller choice is part of a larger one."""
        if n < 1:
            raise DataError(f"a limit must be at least 1 sample; got {n!r}")
        return self if n >= len(self) else self.take(self.choice(n))

    def choice(self, n: int) -> Indices:
        """Return which samples `subset` chooses."""
        return np.sort(np.random.default_rng(0).permutation(len(self))[:n])

    def fingerprint(self) -> str:
        """Return a sha256 over inputs and targets in their order; of many samples over a fixed choice."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(part)
        digest.update(self.code.encode())
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        yield self._indices.tobytes()
        chosen = np.unique(np.linspace(0, len(self) - 1, min(len(self), MOST_HASHED)).round().astype(np.int64))
        for place in chosen:
            batch = collate([self[int(place)]], self.collate)
            for name, tensor in (*batch.named_tensors(), *Batch((batch.targets,), {}, None, 1).named_tensors()):
                yield f"{name} {list(tensor.shape)} {tensor.dtype}".encode()
                yield tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def of_its_own_form(dataset: Any) -> bool:
    """Whether the samples of a dataset are something else than one float tensor, or pixels, with a class index."""
    if getattr(dataset, "collate", None) is not None:
        return True
    try:
        inputs, target = dataset[0]
    except Exception:  # whatever a user's data do here, they will do again, and be told, where they are used
        return False
    tensor = isinstance(inputs, Tensor) and (inputs.is_floating_point() or inputs.dtype == torch.uint8)
    nested = isinstance(inputs, (dict, tuple)) or (isinstance(inputs, Tensor) and not tensor)
    if nested:
        return True
    if not tensor:
        return False
    kind = np.asarray(target.detach().cpu() if isinstance(target, Tensor) else target)
    return kind.dtype.kind == "f" and bool(kind.ndim or float(kind) != int(kind) or isinstance(target, (Tensor, np.generic)))
