"""What COCO and YOLO draw around objects, polygons and run lengths: as masks of pictures, which are fitted into squares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from prunekit.data.stratified import Indices

FINER = 4
"""By so much polygons are drawn larger: a pixel counts where half of it lies inside."""
Runs = tuple[int, ...]
Polygons = tuple[tuple[float, ...], ...]
Outline = Runs | Polygons
"""Lengths of runs of pixels outside and inside, by turns, down one column after another; or corners x, y, x, y, ... of polygons."""


def outline(told: Any, width: int, height: int) -> Outline | None:
    """Return what COCO's ``segmentation`` says of an object in a picture of so many pixels; None where it says nothing."""
    if isinstance(told, Mapping):
        counts = told.get("counts")
        runs = _unpacked(counts) if isinstance(counts, str) else tuple(counts) if isinstance(counts, list) else ()
        whole = all(isinstance(run, int) and run >= 0 for run in runs) and sum(runs) == width * height
        if not whole or told.get("size") != [height, width]:
            raise ValueError(f"run lengths that are not those of {width} x {height} pixels")
        return runs
    if not told:
        return None
    if not isinstance(told, list) or not all(isinstance(each, list) for each in told):
        raise ValueError("neither polygons nor run lengths")
    for each in told:
        if len(each) < 6 or len(each) % 2 or not all(isinstance(v, (int, float)) and isfinite(v) for v in each):
            raise ValueError("a polygon that is not of three corners at least, x, y, x, y, ...")
    return tuple(tuple(map(float, each)) for each in told)


def _unpacked(packed: str) -> Runs:
    """Return the run lengths that COCO's letters stand for: six bits a letter, from the fourth on the difference to the last but one."""
    runs, value, shift = list[int](), 0, 0
    for letter in packed.encode():
        bits = letter - 48
        if not 0 <= bits < 64:
            return ()
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (bits & 16) << (shift - 4) if bits & 16 else 0  # its sign
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return tuple(runs)


def drawn(told: Outline, width: int, height: int) -> NDArray[np.uint8]:
    """Return a mask, 1 where the object is, [height, width]."""
    if told and not isinstance(told[0], tuple):
        ends = np.cumsum((0, *told))
        flat = np.zeros(width * height, dtype=np.uint8)
        for begin, end in list(pairwise(ends))[1::2]:
            flat[begin:end] = 1
        return flat.reshape(width, height).T
    image = Image.new("L", (FINER * width, FINER * height))
    for corners in told:
        ImageDraw.Draw(image).polygon([FINER * v - 0.5 for v in corners], fill=255)  # type: ignore[union-attr]  # whole numbers are middles
    return (np.array(image.reduce(FINER)) > 127).astype(np.uint8)


def fitted(width: int, height: int, size: int) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return by what a picture is scaled to fit a square, and where in it its corner lies."""
    share = size / max(width, height)
    wide, high = max(1, round(width * share)), max(1, round(height * share))
    return (wide / width, high / height), ((size - wide) // 2, (size - high) // 2)


def placed(image: Image.Image, size: int, padding: Any, by: Image.Resampling) -> Image.Image:
    """Return a picture scaled to fit a square and padded."""
    (across, down), corner = fitted(*image.size, size)
    square = Image.new(image.mode, (size, size), padding)
    square.paste(image.resize((round(image.width * across), round(image.height * down)), by), corner)
    return square


class Outlines:
    """Masks of objects: called with places of pictures it returns those of each, uint8 [objects, H, W]; None where one has no outline.

    ``told``: for each picture what its objects' outlines are, None of an object that has none; ``side``: of the square that pictures are
    fitted into; None where they keep their size.
    """

    def __init__(self, told: Sequence[Sequence[Outline | None]], sizes: Sequence[tuple[int, int]], side: int | None) -> None:
        self.told, self.sizes, self.side = told, sizes, side

    def __call__(self, places: Indices) -> list[Tensor | None]:
        """Return the masks of some pictures."""
        return [self._masks(self.told[int(place)], *self.sizes[int(place)]) for place in places]

    def content(self) -> str:
        """Return a sha256 of all outlines."""
        return hashlib.sha256(repr(self.told).encode()).hexdigest()

    def _masks(self, told: Sequence[Outline | None], width: int, height: int) -> Tensor | None:
        """Return the masks of one picture, in the size that it is brought to."""
        known = [each for each in told if each is not None]
        if len(known) < len(told):
            return None
        wide, high = (width, height) if self.side is None else (self.side, self.side)
        found = np.zeros((len(known), high, wide), dtype=np.uint8)
        for mask, each in zip(found, known, strict=True):
            whole = drawn(each, width, height)
            mask[:] = whole if self.side is None else np.array(placed(Image.fromarray(whole), self.side, 0, Image.Resampling.NEAREST))
        return torch.from_numpy(found)
