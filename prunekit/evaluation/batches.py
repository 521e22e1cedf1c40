"""Running a model over data: batches from whatever is given, and errors that a person can act on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from prunekit.errors import DataError, PrunekitError

Progress = Callable[[float, str], object]
Batch = tuple[Tensor, Tensor]


class Cancelled(PrunekitError):
    """The work was stopped on request."""


def check_cancel(cancel: threading.Event | None) -> None:
    """Raise `Cancelled` if the event is set."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("stopped on request")


def part_of(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Return the progress of a part of the work, from and to shares of the whole; None where nobody watches."""
    return None if progress is None else lambda share, text: progress(begin + (end - begin) * share, text)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode and give each its own flag back afterwards.

    Only modules that train are touched, so a shared model that is in eval mode already is never written to.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _from_samples(samples: Iterable[Any], batch_size: int) -> Iterator[Batch]:
    """Stack single ``(x, label)`` samples into batches."""
    xs: list[Tensor] = []
    ys: list[int] = []
    for x, y in samples:
        xs.append(torch.as_tensor(x))
        ys.append(int(y))
        if len(xs) == batch_size:
            yield torch.stack(xs), torch.tensor(ys)
            xs, ys = [], []
    if xs:
        yield torch.stack(xs), torch.tensor(ys)


def batches_of(split: Any, batch_size: int) -> Iterator[Batch]:
    """Return ``(x, labels)`` batches of a catalog split, a torch dataset of ``(x, int)`` or an iterable of batches.

    Raises
    ------
    DataError
        If ``split`` is none of these.
    """
    if batch_size < 1:
        raise DataError(f"batch_size must be at least 1; got {batch_size}")
    if hasattr(split, "batches"):
        yield from split.batches(batch_size)
    elif isinstance(split, Dataset):
        indexed = not isinstance(split, IterableDataset)
        yield from _from_samples((split[i] for i in range(len(split))) if indexed else split, batch_size)  # type: ignore[arg-type]
    elif hasattr(split, "__iter__"):
        for x, y in split:
            yield x, torch.as_tensor(y)
    else:
        raise DataError(f"cannot read samples from {type(split).__name__}: give a split such as data.test, a dataset or batches")


def length_of(split: Any) -> int | None:
    """Return the number of samples where it is known before reading (not for bare iterables of batches)."""
    known = hasattr(split, "batches") or isinstance(split, Dataset)
    return len(split) if known and hasattr(split, "__len__") else None
