"""Splits of annotated pictures: boxes of objects, or a class for each pixel."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from prunekit.data.dataset import Normal, Picture, Split
from prunekit.data.stratified import Indices, spread, stratified
from prunekit.errors import DataError


def counted_otherwise(names: Sequence[str], told: Sequence[str]) -> str:
    """Return, in a sentence, that data name their classes otherwise than the model does; nothing where they agree, or one names none."""
    if not names or not told or tuple(names) == tuple(told):
        return ""
    own, theirs = (f"{len(each)} classes ({', '.join(each[:3])}{', ...' if len(each) > 3 else ''})" for each in (names, told))
    return f"The data's {own} are not the model's {theirs}: figures mean something only if it counts alike."


def seen_before(files: Mapping[str, Sequence[str]]) -> str:
    """Return, in a sentence, that pictures of the test are ones to learn or to choose by as well; nothing where the parts are apart."""
    learned = {file for part, names in files.items() if part != "test" for file in names}
    twice = sum(file in learned for file in files["test"])
    return (
        f"Pictures of the test that are training or validation pictures as well: {twice:,}. Read the figures as optimistic."
        if twice
        else ""
    )


class Pictures(Protocol):
    """Where pixels come from, all of one size."""

    def pixels(self, places: Indices) -> Tensor:
        """Return pictures, uint8 (n, C, H, W)."""

    def content(self) -> str:
        """Return what tells these pictures from others: a hash of them, or of the rule that makes them."""


class AnnotatedSplit(Split):
    """Pictures in a fixed order, with more than one class for each."""

    annotated = True
    """Pictures and targets come by their places, and there is no one label for each."""

    def __init__(self, pictures: Pictures, places: Indices, normal: Normal) -> None:
        self.pictures, self.places, self.normal = pictures, np.asarray(places, dtype=np.int64), normal

    def __len__(self) -> int:
        """Return the number of pictures."""
        return int(self.places.size)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        """Return the normalised picture, float32 (C, H, W), and its target."""
        place = np.array([range(len(self))[index]])  # negative indices count from the end; beyond it is an IndexError
        return self.images(place)[0], self.targets_at(place)[0]

    def images(self, indices: Indices) -> Tensor:
        """Return normalised pictures, float32 (n, C, H, W)."""
        return self.normal.apply(self.pictures.pixels(self.places[indices]).to(torch.float32) / 255)

    def picture(self, i: int) -> Picture:
        """Return picture ``i`` for the screen: uint8, (H, W, C)."""
        return self.pictures.pixels(self.places[[i]])[0].permute(1, 2, 0).contiguous().numpy()

    def take(self, indices: Indices) -> Self:
        """Return the pictures at ``indices``, in that order, as a split of its own."""
        part = self._at(np.asarray(indices, dtype=np.int64))
        part.code, part.guesses, part.classes, part.task = self.code, self.guesses, self.classes, self.task
        return part

    def fingerprint(self) -> str:
        """Return a sha256 over pictures, what is marked in them, normalisation, and the code that made them."""
        digest = hashlib.sha256(repr((self.normal, self.pictures.content(), self.places.tolist())).encode())
        for part in self._identity():
            digest.update(part)
        digest.update(self.code.encode())
        return digest.hexdigest()

    @abstractmethod
    def _at(self, indices: Indices) -> Self:
        """Return some of the pictures."""


class BoxSplit(AnnotatedSplit):
    """Pictures with boxes around objects.

    ``targets``: for each picture ``boxes``, float32 [n, 4], corners x1, y1, x2, y2 in pixels of the picture as the model gets it, and
    ``labels``, int64 [n], classes from 0. Where the data say so also ``crowd``, bool [n], a box around several objects that are not told
    apart, and ``area``, float32 [n], of the object itself.
    """

    task = "object-detection"
    areas: tuple[float, float] | None = None
    """Areas up to which objects count as small and as medium, where COCO's do not suit."""
    masks: Callable[[Indices], Sequence[Tensor | None]] | None = None
    """Places -> of each picture which pixels show which object, uint8 [objects, H, W], None where nobody knows: its target's ``masks``."""

    def __init__(self, pictures: Pictures, places: Indices, normal: Normal, targets: Sequence[Mapping[str, Tensor]]) -> None:
        super().__init__(pictures, places, normal)
        self.targets = tuple(targets)
        if len(self.targets) != len(self):
            raise DataError(f"pictures need their boxes each; got {len(self)} pictures and {len(self.targets)} lists of boxes")

    def targets_at(self, indices: Indices) -> list[Mapping[str, Tensor]]:
        """Return the objects of some pictures."""
        found = [self.targets[int(i)] for i in indices]
        shown = [None] * len(found) if self.masks is None else self.masks(self.places[indices])
        return [target if own is None else {**target, "masks": own} for target, own in zip(found, shown, strict=True)]

    def choice(self, n: int) -> Indices:
        """Return which pictures `subset` chooses: those of each class keep their share, where the rarest class in a picture is its own."""
        counts = np.bincount(np.concatenate([[], *(target["labels"].numpy() for target in self.targets)]).astype(np.int64))
        rank = np.argsort(np.argsort(counts, kind="stable"))
        return stratified([int(rank[target["labels"].numpy()].min()) if len(target["labels"]) else -1 for target in self.targets], n)

    def _at(self, indices: Indices) -> Self:
        part = type(self)(self.pictures, self.places[indices], self.normal, [self.targets[int(i)] for i in indices])
        part.areas, part.masks = self.areas, self.masks
        return part

    def _identity(self) -> Iterator[bytes]:
        for target in self.targets:
            for name in sorted(target):
                yield name.encode() + target[name].numpy().tobytes()
        if self.masks is not None:
            content = getattr(self.masks, "content", None)  # without it the rule that makes the pictures decides them
            yield b"masks" + (b"" if content is None else content().encode())


class MaskSplit(AnnotatedSplit):
    """Pictures with a class for each pixel.

    ``masks``: places -> classes, uint8 (n, H, W); its ``content``, where it has one, tells these from others.
    """

    task = "semantic-segmentation"

    def __init__(self, pictures: Pictures, places: Indices, normal: Normal, masks: Any) -> None:
        super().__init__(pictures, places, normal)
        self.masks = masks

    def targets_at(self, indices: Indices) -> Tensor:
        """Return the class of each pixel, uint8 [n, H, W]."""
        found: Tensor = self.masks(self.places[indices])
        return found

    def choice(self, n: int) -> Indices:
        """Return which pictures `subset` chooses: a smaller choice is part of a larger one."""
        return spread(len(self), n)

    def _at(self, indices: Indices) -> Self:
        return type(self)(self.pictures, self.places[indices], self.normal, self.masks)

    def _identity(self) -> Iterator[bytes]:
        content = getattr(self.masks, "content", None)
        yield self.masks(self.places).contiguous().numpy().tobytes() if content is None else content().encode()
