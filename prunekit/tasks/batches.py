"""Batches from whatever holds samples: splits, datasets, loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset

from prunekit.errors import DataError
from prunekit.tasks.batch import Batch, Collate, collate


def batches_of(split: Any, batch_size: int, own: Collate | None = None) -> Iterator[Batch]:
    """Yield the samples of a split, in order, as batches.

    Parameters
    ----------
    split : split of `load_data`, Dataset or iterable of batches
        What has ``batches(batch_size)``; a torch dataset of ``(inputs, target)``; or an iterable (a ``DataLoader``) of batches: each
        ``(inputs, targets)`` or a `Batch`. Inputs are a tensor, a tuple or a dict.
    batch_size : int
        Samples at a time (ignored for an iterable of batches).
    own : callable, optional
        Puts samples of a dataset together, as `collate` takes it; left out, the dataset's own attribute ``collate``.

    Raises
    ------
    DataError
        If ``split`` is none of these.
    """
    if batch_size < 1:
        raise DataError(f"batch_size must be at least 1; got {batch_size}")
    if hasattr(split, "batches"):
        parts: Iterable[Any] = split.batches(batch_size)
    elif isinstance(split, Dataset):
        parts = _collated(split, batch_size, own or getattr(split, "collate", None))
    elif hasattr(split, "__iter__"):
        parts = split
    else:
        raise DataError(f"cannot read samples from {type(split).__name__}: give a split such as data.test, a dataset or batches")
    for part in parts:
        if isinstance(part, Batch):
            yield part
            continue
        inputs, targets = _pair(part, "a batch")
        plain = isinstance(targets, (list, tuple)) and all(isinstance(each, (bool, int, float)) for each in targets)
        yield Batch.of(inputs, torch.as_tensor(targets) if plain or isinstance(targets, np.ndarray) else targets)


def samples_at(split: Any, indices: NDArray[np.int64]) -> Batch:
    """Return the samples of a split at some places, in that order, as one batch."""
    if hasattr(split, "images") and (hasattr(split, "labels") or getattr(split, "annotated", False)):  # prepared all at once
        targets = split.targets_at(indices) if hasattr(split, "targets_at") else torch.as_tensor(split.labels[indices])
        return Batch.of(split.images(indices), targets, len(indices))
    if hasattr(split, "take"):
        return next(batches_of(split.take(indices), len(indices)))
    return collate([_pair(split[int(i)], "a sample") for i in indices], getattr(split, "collate", None))


def fitting(split: Any, size: int) -> int:
    """Return how many samples to run at once: at most ``size``, and no more than the split says that memory is kept for."""
    return min(size, int(getattr(split, "at_once", size)))


def length_of(split: Any) -> int | None:
    """Return the number of samples where it is known before reading (not for bare iterables of batches)."""
    known = hasattr(split, "batches") or isinstance(split, Dataset)
    return len(split) if known and hasattr(split, "__len__") else None


def _collated(dataset: Any, batch_size: int, own: Collate | None) -> Iterator[Batch]:
    """Yield the samples of a dataset as batches."""
    samples = iter(dataset) if isinstance(dataset, IterableDataset) else (dataset[i] for i in range(len(dataset)))
    held: list[Any] = []
    for sample in samples:
        held.append(sample if own is not None else _pair(sample, "a sample"))
        if len(held) == batch_size:
            yield collate(held, own)
            held = []
    if held:
        yield collate(held, own)


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    """Return inputs and targets."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        got = f"{len(value)} things" if isinstance(value, (tuple, list)) else f"a {type(value).__name__}"
        raise DataError(f"{what} must be (inputs, target), where inputs are a tensor, a tuple or a dict; got {got}")
    return value[0], value[1]
