"""Which digits a canvas holds, and where: a small single-shot detector without anchors, to prune with its pyramid and heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = tuple("0123456789")
STRIDES = (4, 8, 16)


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution with its batch norm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Two convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, 3, stride), convolution(outputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, (N, outputs, H / stride, W / stride)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class Head(nn.Module):
    """Scores of the classes, and distances to the four sides of a box, for each place of one level."""

    def __init__(self, width: int, classes: int, stride: int) -> None:
        super().__init__()
        self.stride, self.classes = stride, classes
        self.tower = convolution(width, width)
        self.scores, self.sides = nn.Conv2d(width, classes, 1), nn.Conv2d(width, 4, 1)
        nn.init.normal_(self.scores.weight, 0, 0.01)
        nn.init.constant_(self.scores.bias, -4.6)  # type: ignore[arg-type]  # one place in a hundred holds an object
        nn.init.constant_(self.sides.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, places, classes) and boxes (N, places, 4), corners in pixels."""
        x = F.relu(self.tower(x))
        sides = F.softplus(self.sides(x)).flatten(2).transpose(1, 2) * self.stride
        x_of, y_of = grid(x.shape[-2], x.shape[-1], self.stride, x.device, x.dtype).unbind(-1)
        left, up, right, down = sides.unbind(-1)
        boxes = torch.stack([x_of - left, y_of - up, x_of + right, y_of + down], -1)
        return self.scores(x).flatten(2).transpose(1, 2), boxes


def grid(height: int, width: int, stride: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return the centres of the places of a level, (height * width, 2)."""
    y, x = ((torch.arange(n, device=device, dtype=dtype) + 0.5) * stride for n in (height, width))
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], -1)


class CanvasDetector(nn.Module):
    """Pictures (N, 3, H, W), sides that 16 divides, to logits and boxes of all places of a pyramid of three levels.

    After Lin et al. (2017) and Tian et al. (2019). Nothing is decided here: boxes that overlap are left to whoever reads them.
    """

    def __init__(self, stem: int = 16, widths: tuple[int, int, int] = (32, 64, 96), pyramid: int = 48) -> None:
        super().__init__()
        small, medium, large = widths
        self.stem = convolution(3, stem, 3, 2)
        self.small = Block(stem, small, 2)
        self.medium = nn.Sequential(Block(small, medium, 2), Block(medium, medium))
        self.large = nn.Sequential(Block(medium, large, 2), Block(large, large))
        self.lateral = nn.ModuleList(convolution(width, pyramid, 1) for width in widths)
        self.heads = nn.ModuleList(Head(pyramid, len(CLASSES), stride) for stride in STRIDES)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return ``scores`` (N, places, classes), logits, and ``boxes`` (N, places, 4), corners in pixels."""
        small = self.small(F.relu(self.stem(pictures)))
        medium = self.medium(small)
        large = self.lateral[2](self.large(medium))
        medium = self.lateral[1](medium) + F.interpolate(large, scale_factor=2.0)
        small = self.lateral[0](small) + F.interpolate(medium, scale_factor=2.0)
        found = [head(level) for head, level in zip(self.heads, (small, medium, large), strict=True)]
        return {"scores": torch.cat([scores for scores, _ in found], 1), "boxes": torch.cat([boxes for _, boxes in found], 1)}

    def points(self, height: int, width: int) -> Tensor:
        """Return where in a picture each place is, (places, 2): what decides in training which object it may learn."""
        return torch.cat([grid(height // stride, width // stride, stride) for stride in STRIDES])


def model() -> CanvasDetector:
    """Return the untrained detector."""
    return CanvasDetector()


vars(model).update(
    task="object-detection", data="canvas", classes=CLASSES, input_shape=(3, 96, 96), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)
