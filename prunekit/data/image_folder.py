"""``imagefolder:PATH``: a person's own images, one folder for each class, read as they are needed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Normal, Picture, Split
from prunekit.data.fingerprints import CHOSEN, sentence
from prunekit.data.stratified import Indices, held_out, spread
from prunekit.errors import DataError
from prunekit.models.guesses import normalisation
from prunekit.models.info import ModelInfo

PREFIX = "imagefolder:"
ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
KEPT = 2**28  # decoded images up to this many bytes stay in memory, so that a second pass reads no file
READ_WHOLE = 2**27  # files of so many bytes in all are told from others by all that is in them
READERS = min(4, os.cpu_count() or 1)
VALIDATION = 0.1
SAME = "There are no training images, so the same images serve to choose by and to confirm: read the accuracies as optimistic."


class FolderSplit(Split):
    """Images in files, decoded when they are asked for.

    Parameters
    ----------
    root : Path
        Folder that ``files`` are relative to.
    files : sequence of str
        Image files.
    labels : array_like of int
        Class index of each.
    normal : Normal
        Normalisation and size; with no size all images must have the same.
    channels : {1, 3}
        Grey or colour; images of the other kind are converted.
    """

    def __init__(self, root: Path, files: tuple[str, ...], labels: Indices, normal: Normal, channels: int) -> None:
        self.root, self.files, self.normal, self.channels = root, files, normal, channels
        self.labels = np.asarray(labels, dtype=np.int64)
        self._plain = Normal(normal.mean, normal.std)  # pixels come resized from the file
        self._pixels: Tensor | None = None
        self._content: tuple[object, str] | None = None
        self._there = np.zeros(len(files), dtype=bool)
        self._lock = threading.Lock()

    def images(self, indices: Indices) -> Tensor:
        """Return normalised images, float32 (n, C, H, W)."""
        return self._plain.apply(self._decoded(indices).to(torch.float32) / 255)

    def picture(self, i: int) -> Picture:
        """Return image ``i`` for the screen: uint8, (H, W, C), resized and cropped."""
        return self._decoded(np.array([i]))[0].permute(1, 2, 0).contiguous().numpy()

    def take(self, indices: Indices) -> FolderSplit:
        """Return the images at ``indices`` as a split of its own."""
        return FolderSplit(self.root, tuple(self.files[i] for i in indices), self.labels[indices], self.normal, self.channels)

    def _identity(self) -> Iterator[bytes]:
        yield repr((self.normal, self.channels)).encode()
        yield self.content().encode()

    def content(self) -> str:
        """Return a sha256 of all names and sizes, and of what is in the files: in all of them, or in a fixed choice; read once.

        Files that were written since are read again, and what was decoded of them is forgotten.
        """
        seen = [(self.root / file).stat() for file in self.files]
        stamps = tuple((stat.st_size, stat.st_mtime_ns) for stat in seen)
        with self._lock:
            if self._content is None or self._content[0] != stamps:
                sizes = [stat.st_size for stat in seen]
                digest = hashlib.sha256(repr(list(zip(self.files, sizes, strict=True))).encode())
                for i in spread(len(self.files), self._read_of(sum(sizes))):
                    digest.update((self.root / self.files[i]).read_bytes())
                if self._content is not None:
                    self._pixels = None
                    self._there[:] = False
                self._content = (stamps, digest.hexdigest())
            return self._content[1]

    @property
    def told_by(self) -> str:
        """Which files tell it from others, in a sentence where not all of them do."""
        return sentence(self._read_of(sum((self.root / file).stat().st_size for file in self.files)), len(self.files))

    def _read_of(self, size: int) -> int:
        """Return how many files of so many bytes in all are read to tell them from others."""
        return len(self.files) if size <= READ_WHOLE else min(CHOSEN, len(self.files))

    def _decoded(self, indices: Indices) -> Tensor:
        """Return pixels, uint8 (n, C, H, W), kept in memory where all of them fit."""
        wanted = np.asarray(indices, dtype=np.int64)
        with self._lock:  # one split serves many threads, and its buffer and its notes on it change together
            return self._looked_up(wanted)

    def _looked_up(self, wanted: Indices) -> Tensor:
        """Return pixels from memory, decoding first what is not there."""
        if self._pixels is not None:
            self._keep(wanted[~self._there[wanted]])
            return self._pixels[torch.from_numpy(wanted)]
        pixels = self._read(wanted)
        if pixels[0].numel() * len(self.files) <= KEPT:
            kept = torch.empty((len(self.files), *pixels.shape[1:]), dtype=torch.uint8)
            kept[torch.from_numpy(wanted)] = pixels
            self._there[wanted] = True
            self._pixels = kept
        return pixels

    def _keep(self, missing: Indices) -> None:
        """Decode what is not in memory yet."""
        if missing.size and self._pixels is not None:
            self._pixels[torch.from_numpy(missing)] = self._read(missing)
            self._there[missing] = True

    def _read(self, indices: Indices) -> Tensor:
        """Return the pixels of some files; decoding runs in threads (Pillow lets go of the interpreter lock)."""
        with ThreadPoolExecutor(READERS) as pool:
            images = list(pool.map(self._open, (self.files[i] for i in indices)))
        first = self._pixels.shape[1:] if self._pixels is not None else images[0].shape
        for i, image in zip(indices, images, strict=True):
            if image.shape != first:
                sizes = " and ".join(f"{s[2]} x {s[1]}" for s in (first, image.shape))
                raise DataError(f"the images differ in size ({sizes}, at {self.root / self.files[i]}): give a size to bring them to")
        return torch.stack(images)

    def _open(self, file: str) -> Tensor:
        """Return one image, uint8 (C, H, W): the shorter side resized to the size, cropped to the centre."""
        path = self.root / file
        try:
            with Image.open(path) as opened:
                image = opened.convert("L" if self.channels == 1 else "RGB")
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot read the image {path} ({' '.join(str(error).split())[:120]}): replace or remove it") from None
        if self.normal.size is not None and image.size != (self.normal.size, self.normal.size):
            from torchvision.transforms import functional as TF  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

            image = TF.center_crop(TF.resize(image, self.normal.size), [self.normal.size])
        return torch.from_numpy(np.array(image, dtype=np.uint8)).reshape(image.height, image.width, self.channels).permute(2, 0, 1)


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
        return FolderSplit(self.root, tuple(file for _, file in self.pairs), labels, normal, channels)


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
    pixels = " ".join(filter(None, (_pixels(root, normal, channels), splits["test"].told_by)))
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
