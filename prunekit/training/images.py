"""The samples that training looks at: which, in memory where they fit, and images moved at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.errors import DataError, named
from prunekit.models.entries import moves_of
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.protocol import Task
from sample_models.augment import Moves

HELD_BYTES = 2**30
"""Up to so many bytes of images are read once and held; beyond it each batch is read as it is needed."""


def training_split(data: Any, images: int = 0) -> Any:
    """Return the training part of the data, or a fixed stratified subset of it."""
    if data is None:
        raise DataError("recalibration and training learn from training images: choose data")
    split = getattr(data, "train", None)
    if split is None:
        raise DataError(
            "these data have no training images, and recalibration and training learn from nothing else: "
            "choose data with a training part (digits, mnist, cifar10, or an image folder with one)"
        )
    part = split.subset(images) if images and hasattr(split, "subset") else split
    if not hasattr(split, "labels"):
        return part  # targets that are no classes
    classes = len(getattr(data, "classes", ()) or ()) or int(np.max(split.labels, initial=-1)) + 1
    missing = np.setdiff1d(np.arange(classes), part.labels)
    if missing.size:
        said = ", ".join(_class_name(data, label) for label in missing[:5].tolist()) + (" and more" if missing.size > 5 else "")
        more = "take more training images" if len(part) < len(split) else f"add some, raise {named('limit')}, or choose other data"
        raise DataError(f"there are no training images of class {said}: the model would unlearn it; {more}")
    return part


def _class_name(data: Any, label: int) -> str:
    """Return a class as the person knows it."""
    names = getattr(data, "classes", ()) or ()
    return repr(names[label]) if label < len(names) else str(label)


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """Training samples with their targets, by index."""

    size: int  # how many there are
    take: Callable[[Tensor], Batch]  # from indices (int64, [n]) to a batch
    fill: Tensor  # [C]: of images, normalised black: what comes in at the border of a shifted one
    source: Any = None  # whose samples they are: it may name a task, or how many classes there are

    @classmethod
    def of(cls, split: Any) -> TrainingSamples:
        """Read a split; at most ``HELD_BYTES`` of it are held in memory, and images that are in memory already are not copied."""
        if not len(split):
            raise DataError("there are no training samples: choose data that are not empty")
        first = split[0][0]
        fill = black(split, first)
        if hasattr(split, "labels") and hasattr(split, "images") and isinstance(first, Tensor):
            labels, images = torch.from_numpy(np.asarray(split.labels, dtype=np.int64)), split.images
            # pixels in memory are normalised batch by batch, which costs next to nothing beside a training step
            if not hasattr(split, "pixels") and len(labels) * first.numel() * first.element_size() <= HELD_BYTES:
                held = torch.cat([part.args[0] for part in batches_of(split, 512)])
                return cls(len(labels), lambda chosen: Batch((held[chosen],), {}, labels[chosen]), fill, split)
            return cls(len(labels), lambda chosen: Batch((images(_indices(chosen)),), {}, labels[chosen]), fill, split)
        if getattr(split, "annotated", False) and isinstance(first, Tensor):
            return cls(len(split), lambda chosen: samples_at(split, _indices(chosen)), fill, split)  # kept as pixels, if at all
        parts, kept = list[Batch](), 0
        for part in batches_of(split, 512):
            parts.append(part)
            kept += sum(tensor.nbytes for _, tensor in part.named_tensors())
            if kept > HELD_BYTES and hasattr(split, "take"):
                return cls(len(split), lambda chosen: next(batches_of(split.take(_indices(chosen)), len(chosen))), fill, split)
        whole = Batch.concat(parts)
        return cls(whole.samples, whole.take, fill, split)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.size

    @property
    def are_images(self) -> bool:
        """Whether they are images, which may be moved, and nothing else."""
        return are_images(self.take(torch.zeros(1, dtype=torch.int64)))


def _indices(chosen: Tensor) -> NDArray[np.int64]:
    """Return indices as a split takes them."""
    return np.asarray(chosen.numpy(), dtype=np.int64)


def black(split: Any, first: Any) -> Tensor:
    """Return what black is in images like the first, after normalisation; the mean colour where that is not known."""
    if not isinstance(first, Tensor) or not first.dim():
        return torch.zeros(0)
    normal = getattr(split, "normal", None)
    if normal is None or len(normal.mean) != len(first):
        return torch.zeros(len(first))
    return torch.tensor([-mean / std for mean, std in zip(normal.mean, normal.std, strict=True)], dtype=torch.float32)


@dataclass(frozen=True)
class Augmentation:
    """Random shifts and mirrors."""

    shift: int = 0  # largest shift in pixels, in either direction
    flip: bool = False  # whether each image is mirrored with probability one half

    @classmethod
    def of(cls, *models: nn.Module | None) -> Augmentation:
        """Return how the first of some models that has a card was trained to see its images; where none has, they stay."""
        return cls(*(moves_of(*models) or ()))

    def apply(self, x: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images, [N, C, H, W], each moved by itself; what comes in is ``fill``, [C]."""
        if not self.shift and not self.flip:
            return x
        return Moves.draw(len(x), self.shift, self.flip, generator).apply(x, self.shift, fill)

    def moved(self, batch: Batch, fill: Tensor, generator: torch.Generator, task: Task = PLAIN) -> Batch:
        """Return a batch whose images are moved, where it holds images and nothing else; the task moves along what is marked in them."""
        if not (self.shift or self.flip) or not are_images(batch):
            return batch
        moves = Moves.draw(batch.samples, self.shift, self.flip, generator)
        height, width = batch.args[0].shape[2:]
        targets = task.moved(batch.targets, list(moves.each(self.shift)), (height, width))
        return replace(with_images(batch, lambda x: moves.apply(x, self.shift, fill)), targets=targets)


def with_images(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch whose images are changed, where it is one tensor of them."""
    return replace(batch, args=(change(batch.args[0]),)) if are_images(batch) else batch


def are_images(batch: Batch) -> bool:
    """Whether a batch is one tensor of images."""
    return len(batch.args) == 1 and not batch.kwargs and isinstance(batch.args[0], Tensor) and batch.args[0].dim() == 4
