"""The images that quantisation looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.criteria.samples import mixed
from prunekit.errors import DataError

BATCH = 32


def calibration_images(data: Any, n: int = 256, seed: int = 0) -> list[NDArray[np.float32]]:
    """Return training images to calibrate on, mixed, in batches.

    Parameters
    ----------
    data : Data
        As ``load_data`` returns it; only its training part is read.
    n : int
        How many images; all of them where there are no more.
    seed : int
        Of their order.

    Returns
    -------
    list of ndarray, float32, shape [n, C, H, W]
        Normalised as the model expects them.

    Raises
    ------
    DataError
        If there are no training images.
    """
    split = getattr(data, "train", None)
    if split is None:
        raise DataError(
            "int8 is calibrated on training images, and these data have none: "
            "choose data with a training part (digits, mnist, cifar10, or an image folder with one)"
        )
    if n < 1:
        raise DataError(f"calibration needs at least 1 image; got {n!r}")
    return [np.ascontiguousarray(x.numpy(), dtype=np.float32) for x, _ in mixed(split, n, seed).batches(BATCH)]
