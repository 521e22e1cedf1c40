"""`OwnSplit`: a user's dataset of images with a class each, and what is done to its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from prunekit.data.dataset import Picture, Split, centre
from prunekit.data.fingerprints import Inputs, chosen, in_memory, known_by, sentence, varies
from prunekit.data.own_samples import check_no_nan, stretched
from prunekit.data.stratified import Indices
from prunekit.errors import DataError
from prunekit.local_code.contract import wrong


@dataclass(frozen=True)
class Preparation:
    """What is done to samples after the user's own transforms: nothing, but to pixels, or where somebody asked for it."""

    mean: tuple[float, ...] | None = None  # mean, std: one number, or one for each channel
    std: tuple[float, ...] | None = None
    size: int | None = None  # side to which images are resized

    def apply(self, x: Tensor) -> Tensor:
        """Return samples (n, ...) resized and normalised."""
        if self.size is not None:
            x = centre(x, self.size)
        if self.mean is not None:
            x = x - self._over(x, self.mean)
        return x if self.std is None else x / self._over(x, self.std)

    def sentence(self) -> str:
        """Say it, as the end of a sentence; nothing where nothing is done."""
        size = "" if self.size is None else f"resized to {self.size} pixels and cropped to the centre"
        numbers = [f"{field} {', '.join(f'{v:.4g}' for v in values)}" for field in ("mean", "std") if (values := getattr(self, field))]
        return "".join(f", {part}" for part in (size, f"normalised by {' and '.join(numbers)}" if numbers else "") if part)

    def check(self, x: Tensor, name: str) -> None:
        """Raise unless samples like ``x`` can be prepared."""
        if self.size is not None and x.dim() != 3:
            raise DataError(f"{name} holds no images but samples of shape {tuple(x.shape)}, which cannot be resized: leave the size out")
        for field, values in (("mean", self.mean), ("std", self.std)):
            channels = x.shape[0] if x.dim() else 1
            if values is not None and len(values) not in (1, channels):
                raise DataError(f"{name} needs 1 or {channels} value(s) of {field}, one for each channel; got {len(values)}")

    @staticmethod
    def _over(x: Tensor, values: tuple[float, ...]) -> Tensor:
        """Return numbers along the channels of samples."""
        return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * max(x.dim() - 2, 0))


AS_IT_IS = Preparation()


class OwnSplit(Split):
    """A user's map-style dataset of (tensor, class index) pairs: float as the model takes it, or uint8 pixels.

    ``dataset``: ``len(dataset)`` and ``dataset[i] -> (Tensor, int)``.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        indices: Indices | None = None,
        labels: NDArray[np.int64] | None = None,
        prepared: Preparation = AS_IT_IS,
    ) -> None:
        if isinstance(dataset, DataLoader):
            dataset = dataset.dataset
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise wrong(f"{name} is a {type(dataset).__name__}, which has no len() or no [i]", DataError)
        self.dataset, self.name, self.prepared = dataset, name, prepared
        self._indices = np.arange(len(dataset)) if indices is None else indices
        if not self._indices.size:
            raise DataError(f"{name} is empty: it needs at least one sample")
        prepared.check(self._sample(0)[0], name)
        self.labels = self._all_labels() if labels is None else labels

    def images(self, indices: Indices) -> Tensor:
        """Return the samples as the user's transforms made them, float32 (n, ...)."""
        samples = [self._sample(int(i))[0] for i in indices]
        for i, x in zip(indices, samples, strict=True):
            check_no_nan(x, f"{self.name}[{int(self._indices[i])}]")
            if x.shape != samples[0].shape:
                raise DataError(f"{self.name}: sample {i} is {tuple(x.shape)}, others {tuple(samples[0].shape)}; bring them to one size")
        return self.prepared.apply(torch.stack(samples))

    @property
    def are_pixels(self) -> bool:
        """Whether its samples are pixels of 0 to 255."""
        return self._raw(0)[0].dtype == torch.uint8

    @property
    def pictured(self) -> bool:
        """Whether its samples are pictures, and no rows of numbers."""
        return self._raw(0)[0].dim() > 1

    def picture(self, i: int) -> Picture:
        """Return sample ``i`` for the screen, its own range of values stretched over 0..255: uint8, (H, W, C)."""
        return stretched(self._sample(i)[0])

    def take(self, indices: Indices) -> OwnSplit:
        """Return the samples at ``indices`` as a split of its own."""
        return OwnSplit(self.dataset, self.name, self._indices[indices], self.labels[indices], self.prepared)

    def under(self, prepared: Preparation) -> OwnSplit:
        """Return the same samples, prepared in another way."""
        return OwnSplit(self.dataset, self.name, self._indices, self.labels, prepared)

    def _identity(self) -> Iterator[bytes]:
        if self.prepared != AS_IT_IS:
            yield repr(self.prepared).encode()
        yield self._indices.tobytes()
        yield self.inputs.digest.encode()

    @cached_property
    def inputs(self) -> Inputs:
        """What tells the samples from others, read once."""
        return known_by(lambda i: self._sample(i)[0], self.dataset, self._indices)

    @property
    def told_by(self) -> str:
        """Which inputs tell it from others, in a sentence where not all of them do."""
        total = self._indices.size
        whole = in_memory(self.dataset, self._indices[:1]) is not None
        return sentence(total if whole else chosen(self.dataset, total, self._sample(0)[0]).size, total)

    @cached_property
    def varies(self) -> bool:
        """Whether samples come out otherwise each time that they are read."""
        return varies(lambda i: self._sample(i)[0], self._indices.size)

    def _sample(self, i: int) -> tuple[Tensor, int]:
        """Return sample ``i``, checked, as float32: pixels in 0..1."""
        x, y = self._raw(i)
        return (x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x.to(torch.float32)), y

    def _raw(self, i: int) -> tuple[Tensor, int]:
        """Return sample ``i`` as the dataset gives it, checked."""
        where = f"{self.name}[{int(self._indices[i])}]"
        try:
            x, y = self.dataset[int(self._indices[i])]
        except (TypeError, ValueError) as error:
            raise wrong(f"{where} is not a pair (tensor, class index): {' '.join(str(error).split())}", DataError) from error
        except Exception as error:
            raise DataError(f"{where} failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.dtype == torch.uint8):
            what = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise wrong(f"{where} is {what}, neither a float tensor nor pixels (uint8)", DataError)
        return x.detach(), label_of(y, where)

    def _all_labels(self) -> NDArray[np.int64]:
        """Return all class indices: from ``targets`` or ``tensors`` if the dataset has them, else by going through it once."""
        known: Any = getattr(self.dataset, "targets", None)
        if known is None and isinstance(self.dataset, TensorDataset) and len(self.dataset.tensors) == 2:
            known = self.dataset.tensors[1]
        if known is not None and len(known) == len(self.dataset) and not hasattr(self.dataset, "target_transform"):
            return np.array([label_of(known[i], self.name) for i in self._indices], dtype=np.int64)
        return np.array([self._sample(i)[1] for i in range(self._indices.size)], dtype=np.int64)


def label_of(value: Any, where: str) -> int:
    """Return a class index as a plain integer."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or number != value:
        raise wrong(f"{where} has the label {' '.join(repr(value).split())[:60]}, which is no class index", DataError)
    return number
