"""Which images a criterion looks at, and in which mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.errors import DataError
from prunekit.models.running import classes_of

if TYPE_CHECKING:
    from prunekit.data.dataset import Batch  # only for its name: the catalog loads torchvision, which a bare model does not need

BATCH = 32
"""Images in a mini-batch: Taylor averages over mini-batches of this size, and nothing holds the activations of more images at once."""


class Images(Protocol):
    """Labelled images in mini-batches, and how many classes there are (0 where nobody knows)."""

    classes: int

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield (images, labels)."""


@dataclass(eq=False)
class _Held:
    """Images in memory, for data that can only be read in order."""

    xs: Tensor
    ys: Tensor
    classes: int = 0

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ys)

    @property
    def labels(self) -> Tensor:
        """Class of each image."""
        return self.ys

    def take(self, indices: NDArray[np.int64]) -> _Held:
        """Return the images at ``indices``, in that order."""
        return _Held(self.xs[indices], self.ys[indices])

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield (images, labels)."""
        yield from zip(torch.split(self.xs, batch_size), torch.split(self.ys, batch_size), strict=True)


def scoring_split(data: Any) -> tuple[Any, str]:
    """Return the split that criteria look at, and its name.

    Parameters
    ----------
    data : Data or Split
        A data set as ``load_data`` returns it, or one split (anything with ``batches(batch_size)``).

    Returns
    -------
    tuple
        The training split; the validation split where there is none, and the test split where there is neither. The name is
        ``"training"``, ``"validation"``, ``"test"``, or ``"given"`` for a split that was passed by itself.

    Raises
    ------
    DataError
        If ``data`` is neither.
    """
    if hasattr(data, "batches"):
        return data, "given"
    for field, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        split = getattr(data, field, None)
        if split is not None:
            return split, name
    raise DataError(f"a criterion cannot read images from {type(data).__name__}: pass data as load_data returns it, or one of its splits")


def scored_on(data: Any, samples: int = 512) -> str | None:
    """Return a sentence on the images that a criterion looked at, or None where they were training images or given as such.

    Parameters
    ----------
    data : Data or Split
        As for :func:`scoring_split`.
    samples : int
        How many images were asked for.
    """
    split, name = scoring_split(data)
    if name in ("training", "given"):
        return None
    return (
        f"There are no training images: the criterion looked at {min(samples, len(split)):,} {name} images, so accuracy on the "
        f"{name} images is not independent of what was removed"
    )


def mixed(data: Any, samples: int, seed: int) -> Images:
    """Return the images to score on, in an order that the seed alone decides.

    A stratified choice may be grouped by class, and a mini-batch of one class has another gradient than a mixed one: hence the shuffle.

    Parameters
    ----------
    data : Data or Split
        As for :func:`scoring_split`. A split that can only be read in order gives its first ``samples`` images.
    samples : int
        How many images; all of them where there are no more.
    seed : int
        Seed of the order.

    Raises
    ------
    DataError
        If there are no images.
    """
    split, name = scoring_split(data)
    chosen = split.subset(samples) if hasattr(split, "subset") and hasattr(split, "take") else _first(split, samples)
    if not len(chosen):
        raise DataError(f"there are no {name} images to score on: choose data that are not empty")
    images: Images = chosen.take(np.argsort(np.random.default_rng(seed).random(len(chosen)), kind="stable"))
    images.classes = classes_of(split) or classes_of(images)
    return images


def _first(split: Any, samples: int) -> _Held:
    """Read the first images of anything that has batches."""
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    for x, y in split.batches(BATCH):
        xs.append(x)
        ys.append(torch.as_tensor(y))
        if sum(len(part) for part in ys) >= samples:
            break
    return _Held(torch.cat(xs)[:samples], torch.cat(ys)[:samples]) if xs else _Held(torch.empty(0), torch.empty(0))
