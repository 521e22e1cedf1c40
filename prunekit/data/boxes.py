"""A person's own pictures with boxes: checked, brought to one size, and parted; how they are written, ``coco`` and ``yolo`` know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from prunekit.config.ids import DataId
from prunekit.data.annotated import BoxSplit, counted_otherwise, seen_before
from prunekit.data.dataset import Data, Normal
from prunekit.data.image_files import ImageFiles, normalisation
from prunekit.data.outlines import Outline, Outlines, fitted, placed
from prunekit.data.stratified import Indices, spread
from prunekit.errors import DataError, named
from prunekit.models.info import ModelInfo

PADDING = 114
TEST, VALIDATION = 0.2, 0.1
Boxes = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as its files say."""

    file: str  # relative to the root of all
    width: int
    height: int
    boxes: Boxes  # [n, 4]: corners in pixels
    labels: NDArray[np.int64]  # [n]
    crowd: NDArray[np.bool_]  # [n]
    area: Boxes | None = None  # [n]: of the objects themselves
    outlines: tuple[Outline | None, ...] = ()  # of the objects, None of one that has none; only where a model learns masks

    def inside(self, counts: Counter[str]) -> Picture:
        """Return the picture with boxes clipped to it, without those of no area; both are counted."""
        limits = np.array([self.width, self.height, self.width, self.height], dtype=np.float64)
        empty = (self.boxes[:, 2:] <= self.boxes[:, :2]).any(1)
        boxes = np.clip(self.boxes, 0, limits)
        outside = (np.abs(boxes - self.boxes) > 1).any(1)  # less is rounding
        gone = (boxes[:, 2:] <= boxes[:, :2]).any(1)
        counts["empty"] += int(empty.sum())
        counts["outside"] += int((gone & ~empty).sum())
        counts["clipped"] += int((outside & ~gone).sum())
        counts["crowd"] += int(self.crowd[~gone].sum())
        counts["without"] += not len(boxes[~gone])
        area = None if self.area is None else self.area[~gone]
        outlines = tuple(self.outlines[i] for i in np.flatnonzero(~gone)) if self.outlines else ()
        return replace(self, boxes=boxes[~gone], labels=self.labels[~gone], crowd=self.crowd[~gone], area=area, outlines=outlines)

    def target(self, size: int | None) -> dict[str, Tensor]:
        """Return its objects as a sample's target, moved along where it is brought to a size."""
        boxes, scale = self.boxes, (1.0, 1.0)
        if size is not None:
            scale, shift = fitted(self.width, self.height, size)
            boxes = boxes * np.tile(scale, 2) + np.tile(shift, 2)
        found = {"boxes": torch.from_numpy(boxes).to(torch.float32), "labels": torch.from_numpy(self.labels)}
        if self.crowd.any():
            found["crowd"] = torch.from_numpy(self.crowd)
        if self.area is not None:
            found["area"] = torch.from_numpy(self.area * scale[0] * scale[1]).to(torch.float32)
        return found


class FittedFiles(ImageFiles):
    """Pictures in files, each scaled to fit a square of side ``size`` and padded with grey; None leaves sizes alone."""

    def __init__(self, root: Path, pictures: Sequence[Picture], size: int | None, sizes: list[tuple[int, int]]) -> None:
        super().__init__(root, tuple(each.file for each in pictures), size, 3)
        self.told = {each.file: (each.width, each.height) for each in pictures}
        self.sizes = sizes

    def pixels(self, places: Indices) -> Tensor:
        """Return pictures, uint8 (n, 3, H, W): only where a size was given or all data have one, for samples share their shape."""
        if self.size is None and len(self.sizes) > 1:
            listed = " and ".join(f"{width} x {height}" for width, height in self.sizes[:2]) + (", ..." if len(self.sizes) > 2 else "")
            raise DataError(
                f"the pictures in {self.root.name} differ in size ({listed}): give {named('size')}, such as 640, to bring them to: each is "
                "scaled to fit and padded, its boxes with it"
            )
        return super().pixels(places)

    def content(self) -> str:
        """Return a sha256 of the files, and their size."""
        return f"{super().content()} {self.size}"

    def _converted(self, opened: Image.Image, path: Path) -> Image.Image:
        told = self.told[path.relative_to(self.root).as_posix()]
        if opened.size != told:
            raise DataError(
                f"{path} has {opened.width} x {opened.height} pixels, and its boxes are of one of {told[0]} x {told[1]}: correct width and "
                "height where the boxes are, or replace the picture"
            )
        return opened.convert("RGB")

    def _resized(self, image: Image.Image, size: int) -> Image.Image:
        return placed(image, size, (PADDING,) * 3, Image.Resampling.BILINEAR)


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a picture, which its first bytes tell."""
    try:
        with Image.open(path) as opened:
            return opened.size
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"cannot read the image {path} ({' '.join(str(error).split())[:120]}): replace or remove it") from None


def boxed(
    data_id: DataId, known: ModelInfo, parts: Mapping[str, Sequence[Picture]], *, root: Path, names: tuple[str, ...], said: str
) -> Data:
    """Return pictures with boxes as data: those that no part holds are held out by a fixed rule."""
    counts: Counter[str] = Counter()
    parts, notes = _held_out({part: [each.inside(counts) for each in pictures] for part, pictures in parts.items()})
    order, classes = _numbered(names, known.classes)
    notes += filter(
        None, [counted_otherwise(classes, known.classes), seen_before({part: [each.file for each in of] for part, of in parts.items()})]
    )
    size = data_id.size or known.size
    sizes = sorted({(each.width, each.height) for pictures in parts.values() for each in pictures})
    mean, std, guesses = normalisation(data_id, known, 3)
    splits = {}
    for part, pictures in parts.items():
        targets = [each.target(size) for each in pictures]
        for target in targets:
            target["labels"] = order[target["labels"]]
        splits[part] = BoxSplit(FittedFiles(root, pictures, size, sizes), np.arange(len(pictures)), Normal(mean, std), targets)
    if known.masks and "train" in parts:
        drawn = parts["train"]
        splits["train"].masks = Outlines([each.outlines for each in drawn], [(each.width, each.height) for each in drawn], size)
        counts["bare"] = sum(None in each.outlines for each in drawn)
    how = "at their own size" if size is None else f"scaled to fit {size} x {size} pixels and padded with grey"
    notes += [sentence for key, sentence in _told(counts).items() if counts[key]]
    pixels = f"{said} Pictures read as colour, {how}, values 0 to 255 divided by 255."
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), classes, pixels, " ".join(notes), guesses)


def _told(counts: Counter[str]) -> dict[str, str]:
    """Return what was done to boxes, in sentences."""
    return {
        "clipped": f"Boxes that reached out of their picture and were clipped to it: {counts['clipped']:,}.",
        "outside": f"Boxes outside of their picture, left out: {counts['outside']:,}.",
        "empty": f"Boxes of no area, left out: {counts['empty']:,}.",
        "crowd": f"Boxes around crowds, which need not be found, and in which nothing found is wrong: {counts['crowd']:,}.",
        "bare": f"Training pictures with an object that has no outline, of which no masks are learned: {counts['bare']:,}.",
        "without": f"Pictures without an object, where whatever is found is wrong: {counts['without']:,}.",
    }


def _held_out(parts: Mapping[str, Sequence[Picture]]) -> tuple[dict[str, list[Picture]], list[str]]:
    """Return the parts, with those that are missing taken from what there is by a fixed rule, and that in sentences."""
    found, notes = {part: list(pictures) for part, pictures in parts.items()}, []
    for part, pictures in found.items():
        if not pictures:
            raise DataError(f"the part {part!r} holds no pictures: add some, or leave it out")
    if "all" in found:
        found["train"] = found.pop("all")
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
        notes.append("The validation pictures serve as the test.")
    for part, share in (("test", TEST), ("validation", VALIDATION)):
        if part not in found and len(found.get("train", ())) > 1:
            pictures = found["train"]
            out: Indices = spread(len(pictures), max(1, round(share * len(pictures))))
            chosen = set(out.tolist())
            found[part] = [pictures[i] for i in out]
            found["train"] = [each for i, each in enumerate(pictures) if i not in chosen]
            notes.append(f"Pictures held out for the {part}: {len(out):,}.")
    if "test" not in found:
        raise DataError("one picture is too few: there must be some to learn from and some to measure on")
    if "train" not in found:
        notes.append("There are no training pictures, so the same serve to choose by and to confirm: read the figures as optimistic.")
    return found, notes


def _numbered(names: tuple[str, ...], told: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the model's number of each class where it knows all these names, else their own, and the names in that order."""
    place = {name.casefold(): i for i, name in enumerate(told)}
    if names and all(name.casefold() in place for name in names):
        return torch.tensor([place[name.casefold()] for name in names]), told
    return torch.arange(len(names)), names
