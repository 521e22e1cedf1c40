"""MNIST and CIFAR-10 through torchvision, downloaded at first use."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prunekit.config.ids import VARIABLE, data_folder
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
    from torchvision import datasets  # noqa: PLC0415 (slow to import, and a process that only times models has no use for it)

    train, test = _both(datasets.MNIST, "MNIST", "MNIST")
    return Raw(train.data.unsqueeze(1), _labels(train.targets), test.data.unsqueeze(1), _labels(test.targets))


def cifar10(jpeg_quality: int | None = None) -> Raw:
    """Return CIFAR-10, 50,000 and 10,000 colour images of 32 x 32."""
    from torchvision import datasets  # noqa: PLC0415

    train, test = _both(datasets.CIFAR10, "CIFAR-10", "cifar-10-batches-py")
    images = [torch.from_numpy(d.data).permute(0, 3, 1, 2).contiguous() for d in (train, test)]
    if jpeg_quality is not None:
        images = [_kept(x, part, jpeg_quality) for x, part in zip(images, ("train", "test"), strict=True)]
    return Raw(images[0], _labels(train.targets), images[1], _labels(test.targets))


def reencode(images: Tensor, quality: int) -> Tensor:
    """Return images, (N, 3, H, W) uint8, as they are after JPEG encoding and decoding."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return torch.stack(list(pool.map(partial(_jpeg, quality=quality), images)))


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """Return one image after JPEG."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def _kept(images: Tensor, part: str, quality: int) -> Tensor:
    """Return re-encoded images, kept beside the download because encoding all of them takes most of a minute."""
    path = data_folder() / "prunekit" / f"cifar10-{part}-jpeg{quality}.safetensors"
    try:
        kept = load_file(path)["images"]
        if kept.shape == images.shape and kept.dtype == images.dtype:
            return kept
    except (OSError, SafetensorError, KeyError):
        pass  # not there yet, or not whole
    made = reencode(images, quality)
    with contextlib.suppress(OSError, SafetensorError):  # a folder that cannot be written costs time, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": made.contiguous()}, path)
    return made


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
