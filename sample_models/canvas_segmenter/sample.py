"""Which digit each pixel of a textured canvas shows: a small U-Net, whose skips and transposed convolutions tie channels together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = ("background", *"0123456789")
WIDTHS = (16, 32, 64, 96)


class Block(nn.Sequential):
    """Two convolutions of three by three, each with BatchNorm and ReLU."""

    def __init__(self, wide_in: int, wide: int) -> None:
        super().__init__(
            nn.Conv2d(wide_in, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
        )  # fmt: skip


class UNet(nn.Module):
    """Colour pictures to scores of the classes of each pixel (Ronneberger et al., 2015); sides are multiples of eight."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(Block(a, b) for a, b in zip((3, *widths), widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(deep, wide, 2, stride=2) for deep, wide in pairs)
        self.up = nn.ModuleList(Block(2 * wide, wide) for _, wide in pairs)
        self.head = nn.Conv2d(widths[0], len(CLASSES), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores, (N, 11, H, W)."""
        skips = list[Tensor]()
        for i, block in enumerate(self.down):
            x = block(self.pool(x) if i else x)
            skips.append(x)
        skips.pop()
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            x = block(torch.cat([skips.pop(), enlarge(x)], 1))
        return self.head(x)  # type: ignore[no-any-return]


def model() -> UNet:
    """Return the untrained U-Net."""
    return UNet()


vars(model).update(
    task="semantic-segmentation",
    data="canvas:masks",
    classes=CLASSES,
    input_shape=(3, 96, 96),
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)
