"""``yolo:PATH``: pictures with a text file of boxes each, and a YAML that says where they are and how classes are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from prunekit.config.ids import DataId
from prunekit.data.boxes import Picture, boxed, size_of
from prunekit.data.dataset import Data
from prunekit.data.image_files import ENDINGS
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo

YOLO = "yolo:"
PARTS = {"train": "train", "val": "validation", "test": "test"}
MOST = 2.0
"""Coordinates are shares of a side; what lies so far outside is none."""
FORM = "path: ., train: images/train, val: images/val, names: [cat, dog]"


def load_yolo(data_id: DataId, known: ModelInfo) -> Data:
    """Return pictures with boxes of YOLO's form.

    PATH is a YAML, or a folder that holds one, which says where the pictures of ``train``, ``val`` and perhaps ``test`` are (a folder, a
    list of them, or a text file with a picture a line) and how classes are called (``names``). The boxes of ``.../images/NAME.jpg`` are in
    ``.../labels/NAME.txt``, each a line: class, and centre, width and height as shares of the picture's; of a polygon the box around it,
    and for a model that learns masks the polygon itself.
    """
    path = Path(data_id.name.removeprefix(YOLO)).expanduser()
    if not data_id.name.removeprefix(YOLO) or not path.exists():
        raise DataError(f"there is no folder {str(path)!r} (looked in {Path.cwd()}): check the path after {YOLO}")
    file = path.resolve() if path.is_file() else _yaml(path.resolve())
    told = _read(file)
    names = _names(file, told)
    base = (file.parent / str(told.get("path") or ".")).resolve()
    root = base if base.is_dir() else file.parent  # a path of another machine
    counts = {"missing": 0}
    parts = {
        PARTS[key]: [_picture(root, image, names, counts) for image in _images(file, root, told[key])] for key in PARTS if told.get(key)
    }
    if not parts:
        raise DataError(f"{file} names no pictures: it needs train and val, as in {FORM}")
    missing = counts["missing"]
    unlabelled = f" Pictures without a file of labels count as such without an object: {missing:,}." if missing else ""
    return boxed(data_id, known, parts, root=root, names=names, said=f"{file.name} in {file.parent.name}.{unlabelled}")


def _yaml(folder: Path) -> Path:
    """Return the YAML of a folder."""
    found = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if len(found) != 1:
        what = "no YAML" if not found else f"several ({', '.join(file.name for file in found[:4])}): name one"
        raise DataError(f"{folder} holds {what}; it needs one that says where pictures are and how classes are called, as in {FORM}")
    return found[0]


def _read(file: Path) -> Mapping[str, Any]:
    """Return what a YAML holds."""
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{file} is no YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(told, Mapping):
        raise DataError(f"{file} must say where pictures are and how classes are called, as in {FORM}")
    return told


def _names(file: Path, told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes, in order."""
    names, count = told.get("names"), told.get("nc")
    if isinstance(names, Mapping):
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{file}: names must be numbered from 0 without a gap; got {', '.join(map(str, sorted(names, key=str)[:8]))}")
        names = [names[k] for k in range(len(names))]
    if not names and isinstance(count, int) and count > 0:
        names = range(count)
    if not names or isinstance(names, str) or (isinstance(count, int) and count != len(names)):
        raise DataError(f"{file} needs the names of its classes ({count or 'some'}), as in {FORM}")
    return tuple(map(str, names))


def _images(file: Path, root: Path, where: Any) -> list[Path]:
    """Return the pictures of a part, in alphabetical order."""
    found: list[Path] = []
    for each in where if isinstance(where, list) else [where]:
        place = next((base / str(each) for base in (root, file.parent) if (base / str(each)).exists()), None)
        if place is None:  # as Roboflow writes it: ../train/images
            place = next((base / str(each).removeprefix("../") for base in (root, file.parent)), root)
        if place.is_dir():
            found += sorted(image for image in place.rglob("*") if image.suffix.lower() in ENDINGS)
        elif place.is_file():
            lines = place.read_text(encoding="utf-8").split("\n")
            found += [(place.parent / line.strip()).resolve() for line in lines if line.strip()]
        else:
            raise DataError(f"{file} names {each}, and there is no such folder under {root}: correct it")
    absent = next((image for image in found if not image.is_file()), None)
    if absent is not None:
        raise DataError(f"the picture {absent}, which {file} leads to, is missing: add it, or leave it out")
    return found


def _picture(root: Path, image: Path, names: tuple[str, ...], counts: dict[str, int]) -> Picture:
    """Return one picture with its objects; one without a file of labels has none."""
    width, height = size_of(image)
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    labels = Path(*parts).with_suffix(".txt")
    counts["missing"] += not labels.is_file()
    rows = _rows(labels, names) if labels.is_file() else []
    outlines = [
        None if corners is None else (tuple((np.array(corners).reshape(-1, 2) * [width, height]).ravel().tolist()),) for *_, corners in rows
    ]
    boxes = np.array([box for _, box, _ in rows]).reshape(-1, 4) * [width, height, width, height]
    kinds = np.array([kind for kind, *_ in rows], dtype=np.int64)
    place = image.resolve()
    if not place.is_relative_to(root):
        raise DataError(f"{image} does not lie under {root}: set path in the YAML to a folder above all pictures")
    crowd = np.zeros(len(kinds), dtype=bool)
    return Picture(place.relative_to(root).as_posix(), width, height, boxes, kinds, crowd, outlines=tuple(outlines))


def _rows(file: Path, names: tuple[str, ...]) -> list[tuple[int, list[float], list[float] | None]]:
    """Return class, corners of the box and, where there is one, of the polygon, as shares of the sides, of each line."""
    rows: list[tuple[int, list[float], list[float] | None]] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no text ({' '.join(str(error).split())[:120]}): write an object a line, or remove it") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            numbers = []
        count = len(numbers)
        if count < 5 or (count > 5 and count % 2 == 0) or numbers[0] % 1 or not np.isfinite(numbers).all():
            raise DataError(f"{file}, line {number}: {line.strip()[:60]!r} must be a class and four numbers (centre x, y, width, height)")
        kind, values = int(numbers[0]), numbers[1:]
        if not 0 <= kind < len(names):
            raise DataError(f"{file}, line {number}: the class {kind} is outside 0..{len(names) - 1}, the names in the YAML")
        if max(values) > MOST or min(values) < 1 - MOST:
            raise DataError(f"{file}, line {number}: {line.strip()[:60]!r} are pixels, not shares of width and height, 0 to 1: divide them")
        if len(values) > 4:  # a polygon
            across, down = values[0::2], values[1::2]
            rows.append((kind, [min(across), min(down), max(across), max(down)], values))
        else:
            x, y, width, height = values
            rows.append((kind, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], None))
    return rows
