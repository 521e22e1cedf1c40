"""`Data` and its splits: labelled images, normalised as the model expects them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from prunekit.config.ids import DataId
from prunekit.data.stratified import Indices, stratified
from prunekit.errors import DataError
from prunekit.tasks.batches import samples_at

Batch = tuple[Tensor, Tensor]
Picture = NDArray[np.uint8]


class Split(Dataset[tuple[Tensor, int]]):
    """Labelled images in a fixed order.

    Attributes
    ----------
    labels : ndarray of int64
        Class index of each image.
    code : str
        Hash of the user's code that made them, as it was then; "" where none did.
    guesses : tuple of str
        As of the `Data` that they are part of: what is measured on them hangs on that.
    classes : int
        How many classes there are, those too that no image here is of; 0 where nobody said.
    task : Task or str, optional
        As of the `Data` that they are part of.
    """

    labels: NDArray[np.int64]
    code: str = ""
    guesses: tuple[str, ...] = ()
    classes: int = 0
    task: Any = None

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.labels.size)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the normalised image, float32 (C, H, W), and its class index."""
        i = range(len(self))[index]  # negative indices count from the end; beyond it is an IndexError
        return self.images(np.array([i]))[0], int(self.labels[i])

    @abstractmethod
    def images(self, indices: Indices) -> Tensor:
        """Return normalised images, float32 (n, C, H, W)."""

    @abstractmethod
    def picture(self, i: int) -> Picture:
        """Return image ``i`` for the screen: uint8, (H, W, C), before normalisation."""

    @abstractmethod
    def take(self, indices: Indices) -> Split:
        """Return the images at ``indices``, in that order, as a split of its own."""

    @abstractmethod
    def _identity(self) -> Iterator[bytes]:
        """Yield what, beside the labels, tells this split from another."""

    def batches(self, batch_size: int = 256) -> Iterator[Batch]:
        """Yield (images, labels) in order: float32 (n, C, H, W) and int64 (n,); the last batch may be smaller.

        Parameters
        ----------
        batch_size : int
            Images in a batch, at least 1.
        """
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1; got {batch_size!r}")
        for start in range(0, len(self), batch_size):
            yield self.batch_at(np.arange(start, min(start + batch_size, len(self))))

    def batch_at(self, indices: Indices) -> Any:
        """Return some samples as `batches` yields them."""
        return self.images(indices), self.targets_at(indices)

    def targets_at(self, indices: Indices) -> Any:
        """Return the targets of some samples: a class index each, int64 (n,), unless a split says otherwise."""
        return torch.from_numpy(self.labels[indices])

    def subset(self, n: int) -> Split:
        """Return a fixed stratified choice of ``n`` images, or the split itself if it has no more than that.

        Within a class a smaller choice is part of every larger one.
        """
        if n < 1:
            raise DataError(f"a limit must be at least 1 image; got {n!r}")
        if n >= len(self):
            return self
        part = self.take(self.choice(n))
        part.code, part.guesses, part.classes, part.task = self.code, self.guesses, self.classes, self.task
        return part

    def choice(self, n: int) -> Indices:
        """Return which samples `subset` chooses."""
        return stratified(self.labels, n)

    def fingerprint(self) -> str:
        """Return a sha256 over labels, inputs and normalisation, all in their order, and over the code that made them.

        Inputs that lie in memory count whole; of many that are read one by one, a fixed choice does.
        """
        digest = hashlib.sha256(self.labels.tobytes())
        for part in self._identity():
            digest.update(part)
        digest.update(self.code.encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Normal:
    """How pixels become the model's input: ``(pixels / scale - mean) / std``, for each channel.

    Parameters
    ----------
    mean, std : tuple of float
        One value for each channel.
    size : int, optional
        Side, in pixels, to which the shorter side is resized before a centre crop; None leaves the size alone.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None = None

    def apply(self, x: Tensor) -> Tensor:
        """Return images in 0..1, float32 (n, C, H, W), resized and normalised."""
        if self.size is not None and tuple(x.shape[-2:]) != (self.size, self.size):
            x = centre(x, self.size)
        mean, std = (torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


def centre(x: Tensor, size: int) -> Tensor:
    """Return images whose shorter side is resized to ``size``, cropped to the centre."""
    height, width = x.shape[-2:]
    scale = size / min(height, width)
    target = (max(size, round(height * scale)), max(size, round(width * scale)))
    x = F.interpolate(x, size=target, mode="bilinear", antialias=True, align_corners=False)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return x[..., top : top + size, left : left + size]


class TensorSplit(Split):
    """A split whose pixels lie in memory; normalised batch by batch, which is fast.

    Parameters
    ----------
    pixels : Tensor
        (N, C, H, W), uint8 or float.
    labels : sequence of int
        Class indices, N of them.
    normal : Normal
        How pixels become the model's input.
    scale : float
        Largest pixel value: 255, or 16 for scikit-learn's digits.
    """

    def __init__(self, pixels: Tensor, labels: Sequence[int] | NDArray[np.int64], normal: Normal, scale: float = 255.0) -> None:
        self.pixels, self.normal, self.scale = pixels, normal, scale
        self.labels = np.asarray(labels, dtype=np.int64)
        if pixels.dim() != 4 or len(pixels) != self.labels.size:
            raise DataError(f"pixels must be (N, C, H, W) with a label each; got {tuple(pixels.shape)} and {self.labels.size} labels")

    def images(self, indices: Indices) -> Tensor:
        """Return normalised images, float32 (n, C, H, W)."""
        return self.normal.apply(self._chosen(indices).to(torch.float32) / self.scale)

    def _chosen(self, indices: Indices) -> Tensor:
        """Return raw pixels; a run of indices is a view, not a copy."""
        if indices.size and int(indices[-1]) - int(indices[0]) + 1 == indices.size and bool(np.all(np.diff(indices) == 1)):
            return self.pixels[int(indices[0]) : int(indices[-1]) + 1]
        return self.pixels[torch.from_numpy(np.asarray(indices, dtype=np.int64))]

    def picture(self, i: int) -> Picture:
        """Return image ``i`` for the screen: uint8, (H, W, C)."""
        levels = (self.pixels[i].to(torch.float64) * (255 / self.scale)).round().clamp(0, 255)
        return levels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()

    def take(self, indices: Indices) -> TensorSplit:
        """Return the images at ``indices`` as a split of its own."""
        return TensorSplit(self.pixels[torch.from_numpy(indices)], self.labels[indices], self.normal, self.scale)

    def _identity(self) -> Iterator[bytes]:
        yield repr((self.normal, self.scale, tuple(self.pixels.shape), str(self.pixels.dtype))).encode()
        yield self.pixels.contiguous().numpy().tobytes()


@dataclass(frozen=True, eq=False)
class Data:
    """A data set by name.

    Parameters
    ----------
    id : DataId
        What was asked for.
    test : Split
        For the last word only.
    train, validation : Split, optional
        To learn from and to choose by; None where the data set has test images only.
    classes : tuple of str
        Class names, by class index.
    pixels : str
        One sentence: which pixels exactly.
    note : str
        What served as what, where there is no training data; "" otherwise.
    guesses : tuple of str
        What nobody gave and was guessed to prepare the samples, in sentences.
    task : Task or str, optional
        What they are for; None leaves that to the model and to the kind of their targets.
    """

    id: DataId
    test: Split
    train: Split | None = None
    validation: Split | None = None
    classes: tuple[str, ...] = ()
    pixels: str = ""
    note: str = ""
    guesses: tuple[str, ...] = ()
    task: Any = None

    def __post_init__(self) -> None:
        """Let each split know what was guessed of it, and how many classes there are: a part of the samples need not hold all."""
        splits = [split for split in (self.train, self.validation, self.test) if split is not None]
        labelled = [split for split in splits if hasattr(split, "labels") and len(split)]
        known = len(self.classes) or max((int(split.labels.max()) + 1 for split in labelled), default=0)
        for split in splits:
            if self.task is not None and getattr(split, "task", None) is None:
                split.task = self.task
            if self.guesses:
                split.guesses = self.guesses
            split.classes = getattr(split, "classes", 0) or known  # a split of somebody's own need not have heard of it

    def limited(self, n: int | None) -> Data:
        """Return the data with at most ``n`` images in each split: a fixed stratified choice."""
        if n is None:
            return self
        train, validation = (None if s is None else s.subset(n) for s in (self.train, self.validation))
        return replace(self, train=train, validation=validation, test=self.test.subset(n))


CUT = "Validation and test are cut from one table: a model that learnt from all of it before does better on them than on other rows."
AnyData = TypeVar("AnyData", bound=Data)


def cut_from_one(data: AnyData) -> AnyData:
    """Return data whose parts were cut from one table here, with what that means for a model that comes trained."""
    return replace(data, note=" ".join(filter(None, [data.note, CUT])))


def samples_of(data: object, n: int = 2) -> Tensor | None:
    """Return the first few test samples of data, as a model takes them; None where there are none, or they are no float tensors."""
    test = getattr(data, "test", None)
    if test is None or not len(test):
        return None
    inputs = samples_at(test, np.arange(min(n, len(test)))).args
    return inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point() else None
