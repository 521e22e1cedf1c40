"""`ImageFiles`: pictures in files, decoded when they are asked for and kept in memory where they fit; and how pixels are normalised."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from prunekit.config.ids import DataId, Floats
from prunekit.data.fingerprints import CHOSEN, sentence
from prunekit.data.stratified import Indices, spread
from prunekit.errors import DataError, named
from prunekit.models.info import ModelInfo

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
KEPT = 2**28  # decoded images up to this many bytes stay in memory, so that a second pass reads no file
READ_WHOLE = 2**27  # files of so many bytes in all are told from others by all that is in them
READERS = min(4, os.cpu_count() or 1)


class ImageFiles:
    """Pictures in files, converted to grey (1 channel) or colour (3)."""

    def __init__(self, root: Path, files: tuple[str, ...], size: int | None = None, channels: int = 3, *, square: bool = True) -> None:
        self.root, self.files, self.size, self.channels, self.square = root, files, size, channels, square
        self._pixels: Tensor | None = None
        self._content: tuple[object, str] | None = None
        self._there = np.zeros(len(files), dtype=bool)
        self._lock = threading.Lock()

    def pixels(self, places: Indices) -> Tensor:
        """Return pixels, uint8 (n, C, H, W), kept in memory where all of them fit."""
        wanted = np.asarray(places, dtype=np.int64)
        with self._lock:  # one object serves many threads, and its buffer and its notes on it change together
            return self._looked_up(wanted)

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
        """Which files tell them from others, in a sentence where not all of them do."""
        return sentence(self._read_of(sum((self.root / file).stat().st_size for file in self.files)), len(self.files))

    def _read_of(self, size: int) -> int:
        """Return how many files of so many bytes in all are read to tell them from others."""
        return len(self.files) if size <= READ_WHOLE else min(CHOSEN, len(self.files))

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
                raise DataError(f"the images differ in size ({sizes}, at {self.root / self.files[i]}): {self._advice}")
        return torch.stack(images)

    @property
    def _advice(self) -> str:
        """What to do where sizes differ."""
        return (
            f"give {named('size')} to bring them to" if self.square else "crop or resize them to one size, with all that is marked in them"
        )

    def _open(self, file: str) -> Tensor:
        """Return one image, uint8 (C, H, W)."""
        path = self.root / file
        try:
            with Image.open(path) as opened:
                image = self._converted(opened, path)
        except DataError:
            raise
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot read the image {path} ({' '.join(str(error).split())[:120]}): replace or remove it") from None
        if self.size is not None and (min(image.size) != self.size or (self.square and image.width != image.height)):
            image = self._resized(image, self.size)
        return torch.from_numpy(np.array(image, dtype=np.uint8)).reshape(image.height, image.width, self.channels).permute(2, 0, 1)

    def _converted(self, opened: Image.Image, path: Path) -> Image.Image:
        """Return an image in grey or colour."""
        return opened.convert("L" if self.channels == 1 else "RGB")

    def _resized(self, image: Image.Image, size: int) -> Image.Image:
        """Return an image whose shorter side has so many pixels."""
        from torchvision.transforms import functional as TF  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        image = TF.resize(image, size)
        return TF.center_crop(image, [size]) if self.square else image


def normalisation(
    data_id: DataId, known: ModelInfo, channels: int, else_: tuple[Floats, Floats] | None = None, words: str = "pixels go in as 0 to 1"
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return mean and std of pixels, and a sentence where they are a guess: what was asked for counts before what the model says."""
    for kind, values in (("mean", data_id.mean), ("std", data_id.std)):
        if values is not None and len(values) != channels:
            raise DataError(f"{data_id.name} needs {channels} value(s) of {kind}, one for each channel; got {len(values)}")
    own = {field: values for field in ("mean", "std") if (values := getattr(known, field)) is not None and len(values) == channels}
    mean, std = data_id.mean or own.get("mean"), data_id.std or own.get("std")
    usual = else_ or ((0.0,) * channels, (1.0,) * channels)
    guessed = [field for field, values in (("mean", mean), ("std", std)) if values is None]
    if not guessed:
        return mean or usual[0], std or usual[1], ()
    names, verb, them = " and ".join(guessed), *(("are", "them") if guessed[1:] else ("is", "it"))
    for_these = f"for {channels} channel{'' if channels == 1 else 's'}"
    return mean or usual[0], std or usual[1], (f"The {names} of pixels {verb} a guess, since nobody gave {them} {for_these}: {words}",)
