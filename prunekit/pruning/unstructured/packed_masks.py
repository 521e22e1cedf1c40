"""Masks that are kept as bits: a thirty-second of what float32 weights take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class PackedMasks(Mapping[str, Tensor]):
    """Layer name to mask, True where a weight stays; read only.

    Each look-up unpacks a fresh BoolTensor of the weight's shape: use ``dict(masks)`` to look often.
    """

    def __init__(self, masks: Iterable[tuple[str, Tensor]]) -> None:
        self.removed: dict[str, int] = {}
        self._bits: dict[str, tuple[NDArray[np.uint8], tuple[int, ...]]] = {}
        for name, mask in masks:
            kept = mask.cpu().numpy()
            self.removed[name] = kept.size - int(np.count_nonzero(kept))
            self._bits[name] = np.packbits(kept), kept.shape

    @property
    def total(self) -> int:
        """How many weights the masks are over."""
        return sum(math.prod(shape) for _, shape in self._bits.values())

    def __getitem__(self, name: str) -> Tensor:
        bits, shape = self._bits[name]
        return torch.from_numpy(np.unpackbits(bits, count=math.prod(shape)).view(np.bool_)).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._bits)

    def __len__(self) -> int:
        return len(self._bits)
