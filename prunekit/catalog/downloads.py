"""MNIST and CIFAR-10 through torchvision, downloaded at first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

from prunekit.catalog.store import VARIABLE, data_folder
from prunekit.errors import DataError


@dataclass(frozen=True, eq=False)
class Raw:
    """Pixels as they are: (N, C, H, W) uint8 and labels, for training and for test; ``scale`` is the largest value."""

    train: Tensor
    train_labels: NDArray[np.int64]
    test: Tensor
    test_labels: NDArray[np.int64]
    scale: float = 255.0


def mnist() -> Raw:
    """Return MNIST, 60,000 and 10,000 grey images of 28 x 28."""
    train, test = _both(datasets.MNIST, "MNIST", "MNIST")
    return Raw(train.data.unsqueeze(1), _labels(train.targets), test.data.unsqueeze(1), _labels(test.targets))


def cifar10(jpeg_quality: int | None = None) -> Raw:
    """Return CIFAR-10, 50,000 and 10,000 colour images of 32 x 32.

    Parameters
    ----------
    jpeg_quality : int, optional
        Re-encode every image as JPEG of this quality, as the cards of models trained on such pixels ask for.
    """
    train, test = _both(datasets.CIFAR10, "CIFAR-10", "cifar-10-batches-py")
    images = [torch.from_numpy(d.data).permute(0, 3, 1, 2).contiguous() for d in (train, test)]
    if jpeg_quality is not None:
        images = [reencode(x, jpeg_quality) for x in images]
    return Raw(images[0], _labels(train.targets), images[1], _labels(test.targets))


def reencode(images: Tensor, quality: int) -> Tensor:
    """Return images, (N, 3, H, W) uint8, as they are after JPEG encoding and decoding."""
    jpeg = v2.JPEG(quality)
    return torch.stack([jpeg(image) for image in images])


def _labels(values: Any) -> NDArray[np.int64]:
    """Return labels as int64."""
    return np.asarray(values, dtype=np.int64)


def _both(cls: Callable[..., Any], title: str, folder: str) -> tuple[Any, Any]:
    """Return the training and the test part, downloaded if they are not there."""
    root = data_folder()
    return _part(partial(cls, root, train=True), title, folder), _part(partial(cls, root, train=False), title, folder)


def _part(load: Callable[..., Any], title: str, folder: str) -> Any:
    """Return one part; what stands in the way is said in one sentence."""
    root = data_folder()
    try:
        return load(download=False)
    except (RuntimeError, OSError, ValueError, EOFError):
        pass  # not there, or not whole: the download below says so
    try:
        return load(download=True)
    except (RuntimeError, OSError, ValueError, EOFError, HTTPException) as error:
        why = " ".join(str(error).split())[:160]
        raise DataError(
            f"{title} is not in {root / folder} and cannot be downloaded ({why}): connect to the internet once, "
            f"or set {VARIABLE} to a folder that holds {folder}; digits needs no download"
        ) from None
