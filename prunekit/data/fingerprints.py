"""Fingerprints of samples: one hash over all of them where that is cheap, else over a fixed choice that is read once."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from prunekit.data.stratified import Indices, spread
from prunekit.local_code.local_imports import LOCK

FEW, MANY = 4096, 20_000
"""So many samples are all read; so many where they lie in memory."""
MOST_VALUES = 2**26
CHOSEN = 256
ASKED_TWICE = 8

Read = Callable[[int], Tensor]


@dataclass(frozen=True)
class Inputs:
    """What is known of the samples of a split."""

    digest: str  # sha256 of what was read; of samples that cannot be read twice alike, a number that no other reading has
    seen: int  # seen, total: how many were read, and how many there are
    total: int
    steady: bool = True  # whether they are the same again when they are read again from the same random state


def sentence(seen: int, total: int) -> str:
    """Say which samples tell data from others, where not all of them do."""
    if seen == total:
        return ""
    return f"They are told from other data by {seen:,} of {total:,} and all labels: a change in the other inputs alone is not seen."


def in_memory(dataset: Any, indices: Indices) -> Tensor | None:
    """Return the inputs of a `TensorDataset`, or of a subset of one, in order; None for any other dataset."""
    while type(dataset) is Subset:
        indices, dataset = np.asarray(dataset.indices, dtype=np.int64)[indices], dataset.dataset
    if type(dataset) is not TensorDataset or not (dataset.tensors[0].is_floating_point() or dataset.tensors[0].dtype == torch.uint8):
        return None
    return dataset.tensors[0].detach().cpu()[torch.from_numpy(np.asarray(indices, dtype=np.int64))]


def chosen(dataset: Any, total: int, first: Tensor) -> Indices:
    """Return which of so many samples are read: all, or a fixed choice."""
    most = MANY if isinstance(dataset, (list, tuple)) or _holds_arrays(dataset, total) else FEW
    return np.arange(total) if total <= most and total * first.numel() <= MOST_VALUES else spread(total, CHOSEN)


def _holds_arrays(dataset: Any, least: int) -> bool:
    """Whether a dataset holds an array with a place for each sample, itself or in what it wraps."""
    for _ in range(8):
        held = getattr(dataset, "__dict__", {})
        if any(isinstance(value, (Tensor, np.ndarray)) and value.ndim and len(value) >= least for value in held.values()):
            return True
        dataset = held.get("dataset")
    return False


def known_by(read: Read, dataset: Any, indices: Indices) -> Inputs:
    """Read what tells the samples of a split from others.

    Random transforms are read from a fixed random state, so that they too come out alike.
    """
    total, held = len(indices), in_memory(dataset, indices)
    if held is not None:
        return Inputs(_digest([held]), total, total)
    with _own_random_state():
        places = chosen(dataset, total, read(0))
        digest = _digest(_from(0, read, i) for i in places)
        again = places[:ASKED_TWICE]
        if _digest(_from(0, read, i) for i in again) == _digest(_from(0, read, i) for i in again):
            return Inputs(digest, len(places), total)
    return Inputs(uuid.uuid4().hex, 0, total, steady=False)


def varies(read: Read, total: int) -> bool:
    """Whether samples come out otherwise when they are read again: a random transform."""
    with _own_random_state():
        pairs = ((_from(0, read, i).nan_to_num(), _from(1, read, i).nan_to_num()) for i in spread(total, ASKED_TWICE))
        return any(not torch.equal(one, two) for one, two in pairs)


def _digest(tensors: Iterator[Tensor] | list[Tensor]) -> str:
    """Return the sha256 of shapes, types and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def _from(seed: int, read: Read, place: int) -> Tensor:
    """Return a sample as it is read from one random state."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed writes down for every other kind of device who called it: 0.5 ms a sample
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (transforms draw from the global one)
    return read(int(place))


@contextmanager
def _own_random_state() -> Iterator[None]:
    """Leave the caller's random states as they are."""
    with LOCK, torch.random.fork_rng(devices=[]):
        plain, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(of_numpy)  # noqa: NPY002
