"""``canvas``: scikit-learn's digits pasted on textured canvases, drawn by a rule of whole numbers: the same on every machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from prunekit.config.ids import DataId
from prunekit.data.annotated import AnnotatedSplit, BoxSplit, MaskSplit
from prunekit.data.dataset import Data, Normal
from prunekit.data.downloads import Raw
from prunekit.data.image_files import normalisation
from prunekit.data.stratified import Indices, held_out, mix
from prunekit.errors import DataError, named
from prunekit.models.info import ModelInfo

CANVAS, MASKS = "canvas", "canvas:masks"
DIGITS = tuple("0123456789")
SIDE, MOST, TRIES = 96, 5, 8
PARTS = {"train": 4000, "validation": 500, "test": 1000}
HELD_OUT = 144
BLOCK = 100
SIZES = ((12, 16), (20, 28), (32, 44))
"""Sides of a digit as it is pasted, in pixels: small, medium and large."""
AREAS = (15**2, 25**2)
"""Areas of boxes up to which objects count as small and as medium."""
INK = 128
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class _Draws:
    """Whole numbers that look random: keys of a counter, one stream for each part of the data, block of canvases and purpose."""

    part: int
    block: int = 0

    def below(self, purpose: int, n: Any, *shape: int) -> Whole:
        """Return numbers from 0 to below ``n``, [*shape]."""
        start = np.uint64(((self.block * 8 + self.part) * 64 + purpose + 1) << 40)
        keys = mix(start + np.arange(int(np.prod(shape)), dtype=np.uint64)) >> np.uint64(32)
        found: Whole = (keys.reshape(shape).astype(np.int64) * n) >> 32
        return found


@dataclass(eq=False)
class Canvases:
    """The canvases of one part; drawn when their pixels are first asked for.

    ``there`` [canvases, 5]: whether a place holds a digit; ``corner``, ``side``, ``digit``: its upper left corner (x, y), its side in
    pixels and which of ``digits`` it is.
    """

    part: str  # {"train", "validation", "test"}
    digits: Whole  # [n, 8, 8]: those to paste, 0 to 16
    labels: Whole  # [n]: which digit each is

    def __post_init__(self) -> None:
        """Place the digits: one that would overlap another's square by more than a tenth of the smaller is drawn again, some times."""
        n, draws = len(self), _Draws(self._number)
        self.digit = draws.below(0, len(self.digits), n, MOST)
        bounds = np.array(SIZES)[draws.below(1, len(SIZES), n, MOST)]
        self.side = bounds[..., 0] + draws.below(2, bounds[..., 1] - bounds[..., 0] + 1, n, MOST)
        wanted = np.arange(MOST) < 1 + draws.below(3, MOST, n, 1)
        self.there, self.corner = np.zeros((n, MOST), dtype=bool), np.zeros((n, MOST, 2), dtype=np.int64)
        tried = draws.below(4, SIDE - self.side[..., None, None] + 1, n, MOST, TRIES, 2)
        for k in range(MOST):
            for corner in np.moveaxis(tried[:, k], 1, 0):
                low = np.maximum(self.corner, corner[:, None])
                high = np.minimum(self.corner + self.side[..., None], (corner + self.side[:, [k]])[:, None])
                shared = np.clip(high - low, 0, None).prod(-1) * self.there
                free = (10 * shared <= np.minimum(self.side, self.side[:, [k]]) ** 2).all(1)
                new = free & wanted[:, k] & ~self.there[:, k]
                self.corner[new, k] = corner[new]
                self.there[:, k] |= new
        self._lock = threading.Lock()
        self._drawn: dict[int, Tensor] = {}
        self._marked: dict[int, Tensor] = {}
        self._told_apart: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return PARTS[self.part]

    @property
    def _number(self) -> int:
        """What tells the draws of this part from those of others."""
        return list(PARTS).index(self.part)

    def _pasted(self, block: int | None = None) -> Iterator[tuple[Whole, Whole, Whole, tuple[Whole, Whole]]]:
        """Yield digits of one side: their canvases, counted in the block, their places, ink of each pixel, 0 to 255, rows and columns."""
        part = slice(None) if block is None else slice(block * BLOCK, (block + 1) * BLOCK)
        there, sides, digit, corner = (each[part] for each in (self.there, self.side, self.digit, self.corner))
        for k in range(MOST):
            for side in np.unique(sides[there[:, k], k]):
                rows, along = np.flatnonzero(there[:, k] & (sides[:, k] == side)), np.arange(side)
                smooth = _enlarged(self.digits[digit[rows, k]], int(side)) * 255 // (16 * (2 * side) ** 2)
                y, x = (corner[rows, k, 1, None] + along)[:, :, None], (corner[rows, k, 0, None] + along)[:, None, :]
                yield rows, np.full(len(rows), k), np.clip(2 * smooth - 80, 0, 255), (y, x)

    @cached_property
    def objects(self) -> list[dict[str, Tensor]]:
        """Boxes around the ink of each canvas's digits, and which digits they are."""
        boxes = np.zeros((len(self), MOST, 4), dtype=np.float32)
        for rows, slots, ink, _ in self._pasted():
            side = ink.shape[1]
            seen = [np.asarray((ink >= INK).any(axis)) for axis in (1, 2)]  # columns, rows
            low = np.stack([each.argmax(1) for each in seen], 1)
            high = np.stack([side - each[:, ::-1].argmax(1) for each in seen], 1)
            boxes[rows, slots] = np.concatenate([low, high], 1) + np.tile(self.corner[rows, slots], 2)
        kinds = self.labels[self.digit]
        return [
            {"boxes": torch.from_numpy(box[there]), "labels": torch.from_numpy(kind[there])}
            for box, kind, there in zip(boxes, kinds, self.there, strict=True)
        ]

    def pixels(self, places: Indices) -> Tensor:
        """Return canvases, uint8 (n, 3, 96, 96)."""
        return self._of_blocks(places, self._drawn, self._draw)

    def masks(self, places: Indices) -> Tensor:
        """Return the class of each pixel, uint8 (n, 96, 96): 0 where there is no ink, 1 for zeros, 2 for ones and so on."""
        return self._of_blocks(places, self._marked, lambda block: self._mark(block, self.labels[self.digit]))

    def instances(self, places: Indices) -> Tensor:
        """Return whose ink each pixel shows, uint8 (n, 96, 96): 0 where there is none, 1 for the first object and so on."""
        return self._of_blocks(places, self._told_apart, lambda block: self._mark(block, self.there.cumsum(1) - 1))

    def _of_blocks(self, places: Indices, made: dict[int, Tensor], make: Callable[[int], Tensor]) -> Tensor:
        """Return what is made for a block of canvases at a time, and kept."""
        places = np.asarray(places, dtype=np.int64)
        blocks = {int(block): np.flatnonzero(places // BLOCK == block) for block in np.unique(places // BLOCK)}
        found: list[Tensor] = []
        for block, at in blocks.items():
            with self._lock:
                if block not in made:
                    made[block] = make(block)
            found.append(made[block][torch.from_numpy(places[at] % BLOCK)])
        order = np.argsort(np.concatenate([np.zeros(0, dtype=np.int64), *blocks.values()]), kind="stable")
        return torch.cat(found)[torch.from_numpy(order)] if found else make(0)[:0]

    def _draw(self, block: int) -> Tensor:
        """Return a block of canvases: a colour with coarse and fine texture and grain, and digits in an ink that is lighter or darker."""
        n, draws = BLOCK, _Draws(self._number, block)
        ground = 60 + draws.below(5, 136, n, 3)
        light = np.where(ground.sum(1) > 384, -1, 1)[:, None]
        surprise = draws.below(6, 4, n, MOST) == 0  # some inks go the other way
        strength = 50 + draws.below(7, 70, n, MOST)[..., None] + draws.below(8, 41, n, MOST, 3) - 20
        inks = np.clip(ground[:, None] + np.where(surprise, -light, light)[..., None] * strength, 0, 255)
        rough = draws.below(9, 41, n, 2) + np.array([8, 4])
        scale = (2 * SIDE) ** 2
        texture = (_enlarged(draws.below(10, 256, n, 3, 4, 4), SIDE) // scale - 128) * rough[:, 0, None, None, None]
        texture += (_enlarged(draws.below(11, 256, n, 1, 13, 13), SIDE) // scale - 128) * rough[:, 1, None, None, None]
        grain = draws.below(12, 17, n, 1, SIDE, SIDE) - 8
        canvas = np.clip(ground[:, :, None, None] + texture // 128 + grain, 0, 255)
        for rows, slots, ink, (y, x) in self._pasted(block):
            for c in range(3):
                below = canvas[rows[:, None, None], c, y, x]
                canvas[rows[:, None, None], c, y, x] = (below * (255 - ink) + inks[rows, slots, c][:, None, None] * ink) // 255
        return torch.from_numpy(canvas.astype(np.uint8))

    def _mark(self, block: int, kinds: Whole) -> Tensor:
        """Return 1 and the number [canvases, 5] of the digit that each pixel of a block of canvases shows; 0 where there is none."""
        classes = np.zeros((BLOCK, SIDE, SIDE), dtype=np.uint8)
        for rows, slots, ink, (y, x) in self._pasted(block):
            own = 1 + kinds[block * BLOCK + rows, slots][:, None, None]
            classes[rows[:, None, None], y, x] = np.where(ink >= INK, own, classes[rows[:, None, None], y, x])
        return torch.from_numpy(classes)

    def content(self) -> str:
        """Return the rule's name: it decides every pixel."""
        return f"canvas 1 {self.part}"


def _enlarged(values: Whole, side: int) -> Whole:
    """Return squares of numbers, [..., k, k], enlarged to [..., side, side] by linear interpolation, times (2 side)²: exact in float64."""
    k = values.shape[-1]
    at = np.clip((2 * np.arange(side) + 1) * k - side, 0, 2 * side * (k - 1))  # where a pixel's centre lies, in 2 side-ths
    weights = np.clip(2 * side - np.abs(at[:, None] - 2 * side * np.arange(k)), 0, None).astype(np.float64)
    enlarged: Whole = (weights @ values.astype(np.float64) @ weights.T).astype(np.int64)
    return enlarged


@dataclass(frozen=True)
class _Resized:
    """Canvases of another side."""

    canvases: Canvases
    side: int

    def pixels(self, places: Indices) -> Tensor:
        """Return canvases, uint8 (n, 3, side, side)."""
        plain = self.canvases.pixels(places).to(torch.float32)
        sized = functional.interpolate(plain, size=(self.side, self.side), mode="bilinear", antialias=True, align_corners=False)
        return sized.round().clamp(0, 255).to(torch.uint8)

    def masks(self, places: Indices) -> Tensor:
        """Return the class of each pixel, uint8 (n, side, side): the nearest one's."""
        return self._nearest(self.canvases.masks(places))

    def instances(self, places: Indices) -> Tensor:
        """Return whose ink each pixel shows, uint8 (n, side, side): as the nearest one."""
        return self._nearest(self.canvases.instances(places))

    def _nearest(self, marked: Tensor) -> Tensor:
        """Return what is marked, at the other side."""
        return functional.interpolate(marked[:, None], size=(self.side, self.side), mode="nearest-exact")[:, 0]

    def content(self) -> str:
        """Return the rule's name, and the side."""
        return f"{self.canvases.content()} {self.side}"


_MADE: dict[str, Canvases] = {}
_LOCK = threading.Lock()


def canvases(part: str, raw: Raw) -> Canvases:
    """Return the canvases of a part, made once; digits that are pasted in one part are pasted in no other."""
    with _LOCK:
        if part not in _MADE:
            images, labels = (raw.test, raw.test_labels) if part == "test" else (raw.train, raw.train_labels)
            if part != "test":
                kept, out = held_out(labels, HELD_OUT)
                chosen = kept if part == "train" else out
                images, labels = images[torch.from_numpy(chosen)], labels[chosen]
            _MADE[part] = Canvases(part, images[:, 0].numpy().astype(np.int64), np.asarray(labels, dtype=np.int64))
        return _MADE[part]


def load_canvas(data_id: DataId, known: ModelInfo, raw: Raw) -> Data:
    """Return the canvases with boxes around their digits, or (``canvas:masks``) with the class of each pixel.

    4,000 to learn from, 500 for validation, 1,000 for the test.
    """
    if data_id.size is not None and data_id.size < 16:
        raise DataError(
            f"canvases of {data_id.size} x {data_id.size} pixels show nothing: give {named('size')} of 16 at least, or none for {SIDE}"
        )
    mean, std, guesses = normalisation(data_id, known, 3, (MEAN, STD), f"those of {CANVAS} are used")
    side, normal = data_id.size or known.size or SIDE, Normal(mean, std)
    splits: dict[str, AnnotatedSplit] = {}
    for part in PARTS:
        made = canvases(part, raw)
        pictures = made if side == SIDE else _Resized(made, side)
        places = np.arange(len(made))
        if data_id.name == MASKS:
            splits[part] = MaskSplit(pictures, places, normal, pictures.masks)
        else:
            targets = made.objects
            if side != SIDE:
                targets = [{**each, "boxes": each["boxes"] * (side / SIDE)} for each in targets]
            splits[part] = boxes = BoxSplit(pictures, places, normal, targets)
            boxes.areas = (AREAS[0] * (side / SIDE) ** 2, AREAS[1] * (side / SIDE) ** 2)
            boxes.masks = partial(_apart, pictures.instances, made.there.sum(1)) if known.masks and part == "train" else None
    what = "the class of each pixel" if data_id.name == MASKS else "a box around the ink of each"
    said = (
        f"1 to {MOST} of scikit-learn's digits on a textured canvas of {SIDE} x {SIDE} pixels, drawn by a fixed rule, and {what}; no digit "
        f"of the test is pasted in another part. Values 0 to 255 divided by 255{'' if side == SIDE else f', resized to {side} x {side}'}."
    )
    classes = ("background", *DIGITS) if data_id.name == MASKS else DIGITS
    return Data(data_id, splits["test"], splits["train"], splits["validation"], classes, said, "", guesses)


def _apart(instances: Callable[[Indices], Tensor], counts: Whole, places: Indices) -> list[Tensor]:
    """Return the masks of the objects of some canvases, uint8 [objects, H, W] each."""
    numbers = [torch.arange(1, int(n) + 1, dtype=torch.uint8)[:, None, None] for n in counts[places]]
    return [(shown == number).to(torch.uint8) for shown, number in zip(instances(places), numbers, strict=True)]
