"""Quantising an ONNX file to int8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def quantise_onnx(onnx: str | Path, images: Iterable[NDArray[np.float32]], path: str | Path, *, per_channel: bool = True) -> Path:
    """Write an ONNX file whose weights and activations are int8."""
    raise NotImplementedError
