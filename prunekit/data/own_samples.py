"""`OwnSamples`: a user's dataset of anything, as inputs that a model takes and a target of its task; what of it people can look at."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit.data.dataset import Picture, Split
from prunekit.data.stratified import Indices
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError
from prunekit.local_code.contract import wrong
from prunekit.tasks.batch import Batch, Collate, collate
from prunekit.tasks.nested import named_tensors
from prunekit.tasks.registry import TASKS
from prunekit.tasks.text_inputs import ids_in

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

    prepared: Any = None
    """What is done to pixels, as `prunekit.data.own_images.Preparation`; None for inputs that go in as they are."""

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
        """Return inputs and target as the dataset gives them, pixels prepared."""
        inputs, target = self._raw(index)
        return inputs if self.prepared is None else self.prepared.apply(inputs.to(torch.float32)[None] / 255)[0], target

    def _raw(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target as the dataset gives them, checked."""
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

    @property
    def are_pixels(self) -> bool:
        """Whether a sample is pixels of a picture, and its task and how samples are put together are known here."""
        known = self.collate is None and (self.task is None or self.task in list(TASKS))
        return known and self.pictured and self._raw(0)[0].dtype == torch.uint8

    @cached_property
    def pictured(self) -> bool:
        """Whether a sample is one picture."""
        inputs = self._raw(0)[0]
        return isinstance(inputs, Tensor) and _is_float_or_pixels(inputs) and inputs.dim() == 3 and inputs.shape[0] in (1, 3)

    def picture(self, i: int) -> Picture:
        """Return sample ``i`` for the screen, its own range of values stretched over 0..255: uint8, (H, W, C)."""
        if not self.pictured:
            raise DataError(f"{self.name} holds no images but inputs of its own form")
        x = self._raw(i)[0]
        return x.permute(1, 2, 0).contiguous().numpy() if x.dtype == torch.uint8 else stretched(x)

    def take(self, indices: Indices) -> Self:
        """Return the samples at ``indices``, in that order, as a split of its own."""
        part = copy.copy(self)
        part._indices = self._indices[np.asarray(indices, dtype=np.int64)]
        return part

    def subset(self, n: int) -> Self:
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
        if self.prepared is not None:
            yield repr(self.prepared).encode()
        yield self._indices.tobytes()
        chosen = np.unique(np.linspace(0, len(self) - 1, min(len(self), MOST_HASHED)).round().astype(np.int64))
        for place in chosen:
            batch = collate([self[int(place)]], self.collate)
            for name, tensor in (*batch.named_tensors(), *Batch((batch.targets,), {}, None, 1).named_tensors()):
                yield f"{name} {list(tensor.shape)} {tensor.dtype}".encode()
                yield tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


class OwnTexts(OwnSamples):
    """The same where inputs are token ids, and somebody says how these are read."""

    coding: Coding

    def text(self, i: int) -> str:
        """Return what sample ``i`` says, without what fills it up."""
        found = ids_in(self.batch_at(np.array([i])))
        ids = [] if found is None else found[0].tolist()
        while ids and ids[-1] == self.coding.padding:
            ids.pop()
        try:
            return self.coding.tokeniser.decode(ids)
        except Exception as error:
            raise DataError(f"decode of the tokeniser failed on {self.name}[{i}]: {' '.join(str(error).split())}") from error

    def read_by(self, coding: Coding, length: int) -> OwnTexts:
        """Return the same samples, read by a tokeniser, each of so many tokens."""
        self.coding = replace(coding, length=length)
        return self


def tokens_in(split: OwnSamples) -> int:
    """Return how many token ids a sample is; 0 where it is something else."""
    ids = ids_in(split.batch_at(np.array([0])))
    return 0 if ids is None or ids.ndim != 2 else ids.shape[1]


def stretched(x: Tensor) -> Picture:
    """Return a sample as a picture, its values stretched over 0..255: of a volume its middle, of a vector its values row by row."""
    x = _drawn(x.detach().cpu().to(torch.float32))
    low, high = float(x.min()), float(x.max())
    levels = ((x - low) * (255 / (high - low or 1.0))).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().numpy()


def _drawn(x: Tensor) -> Tensor:
    """Return a sample as an image (C, H, W)."""
    if x.dim() == 4 and x.shape[0] in (1, 3):
        x = x[:, x.shape[1] // 2]
    if x.dim() == 3 and x.shape[0] in (1, 3):
        return x
    flat = x.reshape(-1)
    side = math.isqrt(max(flat.numel(), 1) - 1) + 1
    return F.pad(flat, (0, -flat.numel() % side), value=float(flat.min())).reshape(1, -1, side)


def _is_float_or_pixels(x: Tensor) -> bool:
    """Whether a tensor is what a model takes as it is, or pixels."""
    return x.is_floating_point() or x.dtype == torch.uint8


def first_of(dataset: Any) -> tuple[Any, Any]:
    """Return the first sample of a dataset; (None, None) where there is none: whoever uses it is told."""
    try:
        inputs, target = dataset[0]
    except Exception:  # whatever a user's data do here, they will do again, and be told, where they are used
        return None, None
    return inputs, target


def of_its_own_form(dataset: Any) -> bool:
    """Whether the samples of a dataset are something else than one float tensor, or pixels, with a class index."""
    if getattr(dataset, "collate", None) is not None:
        return True
    inputs, target = first_of(dataset)
    if isinstance(inputs, (dict, tuple)) or isinstance(target, dict):
        return True
    if not isinstance(inputs, Tensor):
        return False
    if not _is_float_or_pixels(inputs):
        return True
    kind = np.asarray(target.detach().cpu() if isinstance(target, Tensor) else target)
    if kind.dtype.kind == "f":
        return bool(kind.ndim or float(kind) != int(kind) or isinstance(target, (Tensor, np.generic)))
    return kind.dtype.kind in "iub" and kind.size != 1  # a class for each pixel, for one
