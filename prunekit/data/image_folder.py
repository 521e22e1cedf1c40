"""``imagefolder:PATH``: a person's own images, one folder for each class, read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Normal, Picture, Split
from prunekit.data.image_files import ENDINGS, ImageFiles, normalisation
from prunekit.data.stratified import Indices, held_out
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo

PREFIX = "imagefolder:"
VALIDATION = 0.1
SAME = "There are no training images, so the same images serve to choose by and to confirm: read the figures as optimistic."


class FolderSplit(Split):
    """Images in files, with a class each."""

    def __init__(self, source: ImageFiles, labels: Indices, normal: Normal) -> None:
        self.source, self.normal, self.labels = source, normal, np.asarray(labels, dtype=np.int64)
        self._plain = Normal(normal.mean, normal.std)  # pixels come resized from the file

    def images(self, indices: Indices) -> Tensor:
        """Return normalised images, float32 (n, C, H, W)."""
        return self._plain.apply(self.source.pixels(indices).to(torch.float32) / 255)

    def picture(self, i: int) -> Picture:
        """Return image ``i`` for the screen: uint8, (H, W, C), resized and cropped."""
        return self.source.pixels(np.array([i]))[0].permute(1, 2, 0).contiguous().numpy()

    def take(self, indices: Indices) -> FolderSplit:
        """Return the images at ``indices`` as a split of its own."""
        files = tuple(self.source.files[i] for i in indices)
        return FolderSplit(ImageFiles(self.source.root, files, self.source.size, self.source.channels), self.labels[indices], self.normal)

    def _identity(self) -> Iterator[bytes]:
        yield repr((self.normal, self.source.channels)).encode()
        yield self.source.content().encode()


@dataclass(frozen=True)
class _Part:
    """One folder of class folders: (class, file) pairs in order."""

    root: Path
    pairs: tuple[tuple[str, str], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names, sorted."""
        return tuple(sorted({name for name, _ in self.pairs}))

    def split(self, names: tuple[str, ...], normal: Normal, channels: int) -> FolderSplit:
        """Return the images with each class numbered by its place in ``names``."""
        number = {name: i for i, name in enumerate(names)}
        labels = np.array([number[name] for name, _ in self.pairs], dtype=np.int64)
        return FolderSplit(ImageFiles(self.root, tuple(file for _, file in self.pairs), normal.size, channels), labels, normal)


def load_imagefolder(data_id: DataId, known: ModelInfo) -> Data:
    """Return the images under a folder.

    The folder holds ``train/`` beside ``test/`` or ``val/`` (or both: then ``val/`` is the validation split), or the class folders
    themselves, which are then test images only. Where the names of all class folders are names of the model's classes, images count
    as those; otherwise the folders are numbered in alphabetical order.
    """
    root = Path(data_id.name.removeprefix(PREFIX)).expanduser()
    if not data_id.name.removeprefix(PREFIX) or not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r} (looked in {Path.cwd()}): check the path after {PREFIX}")
    parts = _parts(root)
    _check_agree(root, parts)
    folders = parts["test"].classes
    names, note = _numbered(folders, known.classes)
    channels = known.input_shape[0] if known.input_shape is not None and known.input_shape[0] in (1, 3) else 3
    mean, std, guesses = normalisation(data_id, known, channels)
    normal = Normal(mean, std, data_id.size or known.size)
    splits: dict[str, FolderSplit] = {key: part.split(names, normal, channels) for key, part in parts.items()}
    if "train" in splits and "validation" not in splits:
        kept, out = held_out(splits["train"].labels, round(VALIDATION * len(splits["train"])))
        splits |= {"train": splits["train"].take(kept), "validation": splits["train"].take(out)}
    note = " ".join(filter(None, (note, "" if "train" in splits else SAME)))
    pixels = " ".join(filter(None, (_pixels(root, normal, channels), splits["test"].source.told_by)))
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), names, pixels, note, guesses)


def _parts(root: Path) -> dict[str, _Part]:
    """Return the parts by what they serve as."""
    there = {name: root / name for name in ("train", "val", "test") if (root / name).is_dir()}
    if "test" in there or "val" in there:
        found = {"test": there.get("test", there.get("val", root))}
        found |= {"train": there["train"]} if "train" in there else {}
        found |= {"validation": there["val"]} if len(there) == 3 else {}
        return {name: _scan(path) for name, path in found.items()}
    if "train" in there:
        raise DataError(f"{root} holds train/ but neither test/ nor val/: add one, or name {root / 'train'} to use it as test images only")
    return {"test": _scan(root)}


def _scan(root: Path) -> _Part:
    """Return the images of each class folder, in alphabetical order."""
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    pairs = [
        (folder.name, file.relative_to(root).as_posix())
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    if not pairs:
        what = "no class folders" if not folders else f"no images in its folders ({', '.join(f.name for f in folders[:5])})"
        raise DataError(f"{root} holds {what}: it needs a folder of images for each class, or train/ and test/ with such folders")
    return _Part(root, tuple(pairs))


def _check_agree(root: Path, parts: dict[str, _Part]) -> None:
    """Refuse parts whose classes differ."""
    base = parts["test"]
    for part in parts.values():
        for one, other in ((base, part), (part, base)):
            alone = [name for name in one.classes if name not in other.classes]
            if alone:
                raise DataError(
                    f"{root}: {', '.join(alone[:5])} has images in {one.root.name}/ but none in {other.root.name}/: the classes must agree"
                )


def _numbered(folders: tuple[str, ...], classes: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the class names in the order of their numbers, and what to know about that."""
    plain = {name.casefold(): name for name in classes}
    if classes and all(folder.casefold() in plain for folder in folders):
        own = {folder.casefold(): folder for folder in folders}
        return tuple(own.get(name.casefold(), name) for name in classes), ""
    if classes and len(classes) != len(folders):
        return folders, (
            f"The {len(folders)} class folders are numbered in alphabetical order, and their names are not those of the model's "
            f"{len(classes)} classes: accuracy means something only if the model counts them alike."
        )
    return folders, ""


def _pixels(root: Path, normal: Normal, channels: int) -> str:
    """Return which pixels exactly, in one sentence."""
    colour = "grey" if channels == 1 else "colour"
    size = "at their own size" if normal.size is None else f"shorter side resized to {normal.size} pixels, cropped to the centre"
    return f"Images in {root.name or root}, read as {colour}, {size}, values 0 to 255 divided by 255."
