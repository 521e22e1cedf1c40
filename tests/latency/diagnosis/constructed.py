"""Real models, each built so that one thing alone keeps it from being faster once it is pruned. Loaded as ``constructed.py:NAME``."""

from itertools import pairwise

from torch import nn


class Pictures(nn.Module):
    """Convolutions one after the other, the mean of each channel at the end."""

    def __init__(self, widths, kernel, side):
        super().__init__()
        self.body = nn.Sequential(*(nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in pairwise(widths)))
        self.input_shape = (widths[0], side, side)

    def forward(self, x):
        return self.body(x).mean((2, 3))


class Vectors(nn.Module):
    """Linear layers one after the other."""

    def __init__(self, *widths):
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
        self.input_shape = (widths[0],)

    def forward(self, x):
        return self.body(x)


def masked():
    """Convolutions with much arithmetic, to be filled with zeros."""
    return Pictures((16, 64, 64, 64, 64, 16), 3, 48)


def sparse_kernel():
    """Linear layers that are worth a matrix product, to be half emptied."""
    return Vectors(1024, 1024, 1024, 1024, 1024)


def memory():
    """Large pictures between few and many channels: little arithmetic for every byte, and the many channels stay."""
    return Pictures((16, 4, 96, 4, 96, 4, 96, 4), 1, 320)


def overhead():
    """Many layers with next to nothing to compute."""
    return Vectors(*[32] * 25)


def odd_channels():
    """Matrix products over the channels of each pixel, with much arithmetic, to be cut to an odd width."""
    return Pictures((16, 384, 384, 384, 384, 16), 1, 28)


def tiny():
    """Small enough to be timed within a test."""
    return Vectors(12, 16, 16, 4)
