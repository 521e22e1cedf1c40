"""``segmentation:PATH`` and ``camvid``: pictures in ``images/`` and, in ``labels/``, a PNG for each that holds a class for each pixel."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_dir
from torch import Tensor

from prunekit.config.ids import VARIABLE, DataId, Floats, data_folder
from prunekit.data.annotated import MaskSplit, counted_otherwise, seen_before
from prunekit.data.dataset import Data, Normal
from prunekit.data.image_files import ENDINGS, ImageFiles, normalisation
from prunekit.data.image_folder import SAME, VALIDATION
from prunekit.data.stratified import Indices, held_out
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo
from prunekit.tasks.segmentation import IGNORED

PREFIX = "segmentation:"
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"
EVERY = "all"
PARTS = {"train": "train", "val": "validation", "test": "test", EVERY: EVERY}
TEST = 0.2
NOBODY = ("void", "ignore", "ignored", "unlabelled", "unlabeled")
"""Names of a last class that stands for pixels that count for nothing."""
INDICES = ("1", "L", "P", "I", "I;16")
CAMVID, ARCHIVE, UNPACKED = "camvid", "camvid-240x180.tar.gz", "camvid-small"
CAMVID_CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LabelFiles(ImageFiles):
    """PNGs of classes: called with places it returns them, uint8 (n, H, W), `IGNORED` where a pixel counts for nothing."""

    def __init__(self, pictures: ImageFiles, files: tuple[str, ...], classes: int, nobody: int | None) -> None:
        super().__init__(pictures.root, files, pictures.size, 1, square=False)
        self.pictures, self.classes, self.nobody = pictures, classes, nobody
        self._picture_of = dict(zip(files, pictures.files, strict=True))

    def __call__(self, places: Indices) -> Tensor:
        """Return the labels of some pictures."""
        return self.pixels(places)[:, 0]

    def content(self) -> str:
        """Return a sha256 of the files, and how they are read."""
        return f"{super().content()} {self.classes} {self.nobody} {self.size}"

    def _converted(self, opened: Image.Image, path: Path) -> Image.Image:
        labels = indices_in(opened, path)
        picture = self.root / self._picture_of[path.relative_to(self.root).as_posix()]
        with Image.open(picture) as beside:
            if beside.size != opened.size:
                sizes = f"{opened.width} x {opened.height} pixels, and its picture {picture.name} {beside.width} x {beside.height}"
                raise DataError(f"{path} has {sizes}: each pixel of a picture needs its label; write both in one size")
        labels[labels == (IGNORED if self.nobody is None else self.nobody)] = IGNORED
        wrong = labels[(labels >= self.classes) & (labels != IGNORED)]
        if wrong.size:
            raise DataError(
                f"{path} holds the label {wrong.max()}, and there are {self.classes} classes, 0..{self.classes - 1}. Where it stands for "
                f"pixels that count for nothing, write {IGNORED}, or name the classes in {CLASSES}, one a line, {NOBODY[0]!r} as the last"
            )
        return Image.fromarray(labels.astype(np.uint8))

    def _resized(self, image: Image.Image, size: int) -> Image.Image:
        from torchvision.transforms import functional as TF  # noqa: PLC0415 (slow to import)

        resized: Image.Image = TF.resize(image, size, TF.InterpolationMode.NEAREST)
        return resized


def indices_in(opened: Image.Image, path: Path) -> NDArray[np.int64]:
    """Return the numbers that a PNG holds, [H, W]; of one with a palette those of its colours."""
    if opened.mode not in INDICES:
        raise DataError(
            f"{path} holds colours ({opened.mode}), not classes: write a PNG of one channel, 8 bits, whose values are the classes (0, 1, "
            f"...), {IGNORED} where a pixel counts for nothing"
        )
    return np.array(opened, dtype=np.int64)


@dataclass(frozen=True)
class _Pairs:
    """Pictures of one part, relative to a folder, and their labels."""

    images: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, places: Sequence[int] | Indices) -> _Pairs:
        return _Pairs(tuple(self.images[i] for i in places), tuple(self.labels[i] for i in places))


def load_segmentation(data_id: DataId, known: ModelInfo) -> Data:
    """Return pictures with a class for each pixel.

    The folder holds ``images/`` and ``labels/`` with a PNG of the same name for each picture; or ``train/``, ``val/`` and ``test/`` with
    such folders each; or these three within ``images/`` and ``labels/``; or beside them ``train.txt``, ``val.txt`` and ``test.txt`` with
    a name a line. What is not there is held out by a fixed rule. ``classes.txt`` names the classes, one a line.
    """
    path = data_id.name.removeprefix(PREFIX)
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r} (looked in {Path.cwd()}): check the path after {PREFIX}")
    return _loaded(data_id, known, root, _named(root))


def load_camvid(data_id: DataId, known: ModelInfo) -> Data:
    """Return CamVid's 701 road scenes of 240 x 180 pixels, in SegNet's split and classes.

    Brostow, Fauqueur and Cipolla 2009, Semantic object classes in video; Badrinarayanan, Kendall and Cipolla 2017, SegNet.
    """
    folder = data_folder()
    root, packed = folder / UNPACKED, folder / ARCHIVE
    if not root.is_dir() and packed.is_file():
        root = _unpacked(packed)
    if not root.is_dir():
        raise DataError(
            f"CamVid's images are not here, and are not downloaded: put {ARCHIVE}, or the folder {UNPACKED} with train, val and test (each "
            f"with {IMAGES} and {LABELS}, 240 x 180 pixels, SegNet's classes 0 to 10 and 11 for void), into {folder}, or set {VARIABLE} to "
            f"a folder that has it. Pictures of your own load as {PREFIX}PATH"
        )
    return _loaded(data_id, known, root, _Classes(CAMVID_CLASSES, len(CAMVID_CLASSES)), IMAGENET)


def _unpacked(packed: Path) -> Path:
    """Return the folder that an archive holds, unpacked once, where downloads are kept."""
    folder = Path(user_cache_dir("prunekit"))
    if not (folder / UNPACKED).is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder) as new, tarfile.open(packed) as archive:  # whole, or not there
                archive.extractall(new, filter="data")
                (Path(new) / UNPACKED).replace(folder / UNPACKED)
        except (OSError, tarfile.TarError) as error:
            why = " ".join(str(error).split())[:120]
            raise DataError(f"{packed} cannot be unpacked ({why}): unpack it, and set {VARIABLE} to the folder around {UNPACKED}") from None
    return folder / UNPACKED


class _Classes(NamedTuple):
    """Names of classes, and which label beside `IGNORED` counts for nothing."""

    names: tuple[str, ...] = ()
    nobody: int | None = None


def _loaded(data_id: DataId, known: ModelInfo, root: Path, classes: _Classes, usual: tuple[Floats, Floats] | None = None) -> Data:
    """Return the data under a folder; ``usual`` is the normalisation where nobody gives one."""
    parts, held = _parts(root)
    names = classes.names or data_id.classes or known.classes or _numbered(root, parts)
    channels = known.input_shape[0] if known.input_shape is not None and known.input_shape[0] in (1, 3) else 3
    words = "those of ImageNet are used" if usual else "pixels go in as 0 to 1"
    mean, std, guesses = normalisation(data_id, known, channels, usual if channels == 3 else None, words)
    size, normal = data_id.size or known.size, Normal(mean, std)
    splits = dict[str, MaskSplit]()
    for name, pairs in parts.items():
        files = ImageFiles(root, pairs.images, size, channels, square=False)
        splits[name] = MaskSplit(files, np.arange(len(pairs)), normal, LabelFiles(files, pairs.labels, len(names), classes.nobody))
    splits["test"].targets_at(np.arange(1))  # what is wrong with all of them is said at once
    sized = "at their own size" if size is None else f"shorter side resized to {size} pixels, labels to the nearest"
    pixels = f"Pictures in {root.name}, {sized}, values 0 to 255 divided by 255, and a class for each pixel."
    pixels = " ".join(filter(None, (pixels, splits["test"].masks.pictures.told_by)))
    twice = seen_before({name: pairs.images for name, pairs in parts.items()})
    note = " ".join(filter(None, (held, counted_otherwise(names, known.classes), twice, "" if "train" in splits else SAME)))
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), names, pixels, note, guesses)


def _named(root: Path) -> _Classes:
    """Return the classes that a folder names."""
    file = root / CLASSES
    if not file.is_file():
        return _Classes()
    names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    at = [k for k, name in enumerate(names) if name.casefold() in NOBODY]
    if at and at != [len(names) - 1]:
        raise DataError(
            f"{file}: {names[at[0]]!r} is class {at[0]} and not the last one: a model has no output for it. Make it the last, or write "
            f"{IGNORED} in the labels, and leave its line out"
        )
    if not names[: at[0] if at else None]:
        raise DataError(f"{file} names no class: write one a line, in the order of their numbers, or remove the file")
    return _Classes(names[:-1], at[0]) if at else _Classes(names)


def _parts(root: Path) -> tuple[dict[str, _Pairs], str]:
    """Return the parts by what they serve as, and what was held out of which, in a sentence."""
    found = {PARTS[name]: pairs for name, pairs in _given(root)}
    for name, pairs in found.items():
        if not len(pairs):
            raise DataError(f"{root} has no pictures for {name}: put some in, or remove what is empty")
    said = list[str]()
    if EVERY in found or "test" not in found:
        if "validation" in found:
            found["test"] = found.pop("validation")
        else:
            source = found.get(EVERY) or found["train"]
            kept, out = held_out(np.zeros(len(source)), round(TEST * len(source)), seed=1)
            if len(kept) and len(out):
                found |= {"train": source.take(kept), "test": source.take(out)}
                said.append(f"Nobody says which pictures are for the test: {len(out)} of {len(source)} are, by a fixed rule.")
            else:
                found = {"test": source}
    found.pop(EVERY, None)
    if "train" in found and "validation" not in found:
        kept, out = held_out(np.zeros(len(found["train"])), round(VALIDATION * len(found["train"])))
        if len(out):
            found |= {"train": found["train"].take(kept), "validation": found["train"].take(out)}
    return found, " ".join(said)


def _given(root: Path) -> Iterator[tuple[str, _Pairs]]:
    """Yield the parts that a folder holds, under the names that it gives them; `EVERY` where it has no parts."""
    folders = [name for name in PARTS if (root / name / IMAGES).is_dir()]
    for name in folders:
        yield name, _paired(root, root / name / IMAGES, root / name / LABELS)
    if folders:
        return
    images, labels = root / IMAGES, root / LABELS
    if not images.is_dir() or not labels.is_dir():
        raise DataError(
            f"{root} holds no {IMAGES}/ beside {LABELS}/: it needs both, with a PNG of the same name for each picture, or train/, val/ and "
            f"test/ with such folders"
        )
    folders = [name for name in PARTS if (images / name).is_dir()]
    for name in folders:
        yield name, _paired(root, images / name, labels / name)
    lists = [name for name in PARTS if (root / f"{name}.txt").is_file()]
    if folders:
        return
    every = _paired(root, images, labels)
    number = {Path(file).relative_to(IMAGES).with_suffix("").as_posix(): i for i, file in enumerate(every.images)}
    for name in lists:
        yield name, every.take(_listed(root / f"{name}.txt", number))
    if not lists:
        yield EVERY, every


def _listed(file: Path, number: dict[str, int]) -> list[int]:
    """Return which pictures a list names: a name a line, with or without its ending."""
    places = list[int]()
    for line in filter(None, map(str.strip, file.read_text(encoding="utf-8").splitlines())):
        name = Path(line.split()[0]).as_posix().removeprefix(f"{IMAGES}/")
        found = number.get(name, number.get(Path(name).with_suffix("").as_posix()))
        if found is None:
            raise DataError(f"{file} names {line!r}, which is not in {IMAGES}/: correct that line, or add the picture")
        places.append(found)
    return places


def _paired(root: Path, images: Path, labels: Path) -> _Pairs:
    """Return the pictures of a folder and their labels in another."""
    there = (file for file in images.rglob("*") if file.suffix.lower() in ENDINGS and not file.name.startswith("."))
    files = sorted(file for file in there if file.is_file())
    if not files:
        raise DataError(f"{images} holds no pictures: put them there, and their labels into {labels}")
    beside = [labels / file.relative_to(images).with_suffix(".png") for file in files]
    missing = [(file, label) for file, label in zip(files, beside, strict=True) if not label.is_file()]
    if missing:
        more = f", as {len(missing) - 1} others do not" if len(missing) > 1 else ""
        raise DataError(f"the picture {missing[0][0]} has no label{more}: write {missing[0][1]}, or remove the picture")
    of = tuple(file.relative_to(root).as_posix() for file in files)
    return _Pairs(of, tuple(file.relative_to(root).as_posix() for file in beside))


def _numbered(root: Path, parts: dict[str, _Pairs]) -> tuple[str, ...]:
    """Return numbers as the names of as many classes as the labels hold, where nobody names them."""
    largest = -1
    for pairs in parts.values():
        for file in pairs.labels:
            with Image.open(root / file) as opened:
                labels = indices_in(opened, root / file)
            largest = max(largest, int(labels[labels != IGNORED].max(initial=-1)))
    if not 1 <= largest < IGNORED:
        raise DataError(
            f"the labels of {root} go up to {largest}, {IGNORED} aside, which counts for nothing: classes are 0 to {IGNORED - 1}, and "
            f"there must be two; of masks of 0 and {IGNORED} make {IGNORED} a 1"
        )
    return tuple(map(str, range(largest + 1)))
