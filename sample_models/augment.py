"""Random shifts, mirrors and cut-outs of whole batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Move:
    """How one image is shifted and mirrored: for what is marked in it, masks and boxes, as `torchvision.tv_tensors`.

    Parameters
    ----------
    top, left : int
        Where the window begins in the padded image.
    mirrored : bool
    shift : int
        How far the image is padded on each side.
    """

    top: int
    left: int
    mirrored: bool
    shift: int
    area: ClassVar[float] = 1.0

    def __call__(self, marked: Any, fill: float = 0) -> Any:
        """Return an image, mask or boxes moved; ``fill`` is what comes in. Boxes are cut at the border, and may have no area left."""
        from torchvision.transforms.v2 import functional as v2  # noqa: PLC0415 (slow to import)

        height, width = v2.get_size(marked)
        marked = v2.crop(v2.pad(marked, [self.shift] * 4, fill=fill), self.top, self.left, height, width)
        return v2.horizontal_flip(marked) if self.mirrored else marked


@dataclass(frozen=True)
class Shrink:
    """How one image becomes a square of ``side`` pixels: for what is marked in it, masks and boxes, as a `Move` is."""

    side: int
    size: tuple[int, int]

    @property
    def area(self) -> float:
        """By what areas in the image are multiplied."""
        return self.side**2 / (self.size[0] * self.size[1])

    def __call__(self, marked: Any, fill: float = 0) -> Any:
        """Return an image, mask or boxes in that size; nothing comes in, so that ``fill`` fills nothing."""
        from torchvision.transforms.v2 import functional as v2  # noqa: PLC0415 (slow to import)

        return v2.resize(marked, [self.side, self.side])


@dataclass(frozen=True)
class Moves:
    """How each image of a batch is shifted and mirrored.

    Parameters
    ----------
    offsets : Tensor
        Where the window begins in the padded image, (2, N): rows, columns.
    mirrored : Tensor
        True where the image is mirrored, (N,).
    """

    offsets: Tensor
    mirrored: Tensor

    @classmethod
    def draw(cls, n: int, shift: int, flip: bool, generator: torch.Generator) -> Moves:
        """Return moves for ``n`` images: up to ``shift`` pixels in either direction, mirrored with probability one half if ``flip``."""
        offsets = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)[..., 0]
        mirrored = torch.rand(n, 1, generator=generator)[:, 0] < 0.5 if flip else torch.zeros(n, dtype=torch.bool)
        return cls(offsets, mirrored)

    def __getitem__(self, take: Tensor) -> Moves:
        """Return the moves of some of the images."""
        return Moves(self.offsets[:, take], self.mirrored[take])

    def each(self, shift: int) -> Iterator[Move]:
        """Yield the move of each image; ``shift`` is what they were drawn for."""
        for (top, left), mirrored in zip(self.offsets.T.tolist(), self.mirrored.tolist(), strict=True):
            yield Move(top, left, mirrored, shift)

    def apply(self, x: Tensor, shift: int, fill: Tensor) -> Tensor:
        """Return the moved images.

        Parameters
        ----------
        x : Tensor
            Normalised images, (N, C, H, W).
        shift : int
            The largest shift that the moves were drawn for.
        fill : Tensor
            Normalised black, (C,), for what comes in at the border.
        """
        n, channels, height, width = x.shape
        padded = fill.view(1, channels, 1, 1).expand(n, channels, height + 2 * shift, width + 2 * shift).contiguous()
        padded[:, :, shift : shift + height, shift : shift + width] = x
        rows, columns = self.offsets[0, :, None] + torch.arange(height), self.offsets[1, :, None] + torch.arange(width)
        columns = torch.where(self.mirrored[:, None], columns.flip(1), columns)
        image, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(channels).view(1, channels, 1, 1)
        return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def cut_out(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return the images, (N, C, H, W), each with a square of ``side`` pixels around a random point set to 0, the mean colour."""
    n, _, height, width = x.shape
    row, column = torch.randint(0, height, (n, 1), generator=generator), torch.randint(0, width, (n, 1), generator=generator)
    rows, columns = torch.arange(height) - row + side // 2, torch.arange(width) - column + side // 2
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return x.masked_fill(inside[:, None], 0.0)
