"""``coco:PATH``: pictures whose boxes are in files of COCO's form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from prunekit.config.ids import DataId
from prunekit.data.boxes import Picture, boxed, size_of
from prunekit.data.dataset import Data
from prunekit.data.outlines import Outline, outline
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo

COCO = "coco:"
PARTS = {"train": "train", "val": "validation", "test": "test"}
NEEDED = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}


def load_coco(data_id: DataId, known: ModelInfo) -> Data:
    """Return pictures with boxes of COCO's form.

    The folder holds one file with all boxes, or some whose names (or folders) hold ``train``, ``val`` and ``test``, as in
    ``annotations/instances_train2017.json`` or ``train/_annotations.coco.json``; PATH may be one such file. Pictures lie beside the file,
    in the folder, in ``images/``, or in a folder named for the part. For a model that learns masks ``segmentation`` is read as well,
    polygons or run lengths.
    """
    path = Path(data_id.name.removeprefix(COCO)).expanduser()
    if not data_id.name.removeprefix(COCO) or not path.exists():
        raise DataError(f"there is no folder {str(path)!r} (looked in {Path.cwd()}): check the path after {COCO}")
    root = (path if path.is_dir() else path.parent).resolve()
    files = _files(root) if path.is_dir() else {"all": path.resolve()}
    read = {part: (file, _read(file)) for part, file in files.items()}
    names, number = _categories([(file, told) for file, told in read.values()])
    parts = {part: _pictures(root, part, file, told, number, masks=known.masks) for part, (file, told) in read.items()}
    said = f"{', '.join(file.relative_to(root).as_posix() for file in files.values())} in {root.name}."
    if not any(told.get("categories") for _, told in read.values()):
        said += f" Nobody names the categories: the ids {', '.join(names[:9])}{', ...' if len(names) > 9 else ''} count as 0, 1, ..."
    return boxed(data_id, known, parts, root=root, names=names, said=said)


def _files(root: Path) -> dict[str, Path]:
    """Return the files with boxes by what they serve as."""
    folders = [root, root / "annotations", *(root / name for name in ("train", "val", "valid", "validation", "test"))]
    found = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.json"))]
    if any("instances" in file.name for file in found):  # those of keypoints and captions lie beside them
        found = [file for file in found if "instances" in file.name]
    if len(found) == 1:
        return {"all": found[0]}
    parts: dict[str, Path] = {}
    for file in found:
        part = next((PARTS[word] for word in PARTS if word in file.relative_to(root).as_posix().lower()), None)
        if part is not None and parts.setdefault(part, file) != file:
            raise DataError(f"{parts[part]} and {file} may both be the {part} part: leave one in the folder, or name the file itself")
    if not parts:
        raise DataError(
            f"{root} holds no file with boxes: it needs a JSON of COCO's form (images, annotations, categories), there or in annotations/; "
            "of several, names with train, val and test"
        )
    return parts


def _read(file: Path) -> Mapping[str, Any]:
    """Return what a file holds."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no JSON: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(told, Mapping) or not all(isinstance(told.get(key), list) for key in ("images", "annotations")):
        raise DataError(f"{file} is not of COCO's form: it must hold lists of images and annotations")
    for part, keys in NEEDED.items():
        for number, each in enumerate(told.get(part) or ()):
            missing = [key for key in keys if not isinstance(each, Mapping) or not isinstance(each.get(key), (int, float, str))]
            if missing:
                raise DataError(f"{file}: number {number} of its {part}, from 0, has no {' and no '.join(missing)}: correct it")
    return told


def _categories(read: Sequence[tuple[Path, Mapping[str, Any]]]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return the names of all categories in the order of their ids, and which class each id is."""
    names: dict[int, str] = {}
    for file, told in read:
        for category in told.get("categories") or ():
            name = str(category.get("name", category["id"]))
            if names.setdefault(category["id"], name) != name:
                raise DataError(f"{file}: category {category['id']} is called {name!r} and {names[category['id']]!r}: call it by one name")
    if not names:  # nobody names them
        names = {k: str(k) for k in sorted({each["category_id"] for _, told in read for each in told["annotations"]})}
    order = sorted(names)
    return tuple(names[k] for k in order), {k: i for i, k in enumerate(order)}


def _pictures(root: Path, part: str, file: Path, told: Mapping[str, Any], number: Mapping[int, int], *, masks: bool) -> list[Picture]:
    """Return the pictures of a file with their objects, in its order; with outlines of these where masks are learned."""
    objects: dict[Any, list[Mapping[str, Any]]] = {image["id"]: [] for image in told["images"]}
    if len(objects) < len(told["images"]):
        twice = next(key for key, count in Counter(image["id"] for image in told["images"]).items() if count > 1)
        raise DataError(f"{file} lists two images under the id {twice!r}: give each its own")
    for each in told["annotations"]:
        if each.get("image_id") not in objects:
            raise DataError(
                f"{file}: annotation {each.get('id')} is of image {each.get('image_id')!r}, which is not listed: add it to images, or "
                "leave the annotation out"
            )
        if each.get("category_id") not in number:
            listed = ", ".join(map(str, sorted(number)[:8]))
            raise DataError(
                f"{file}: annotation {each.get('id')} is of category {each.get('category_id')!r}, which is not listed (there are "
                f"{listed}): add it to categories, or leave the annotation out"
            )
        box, area = each.get("bbox"), each.get("area") or 0
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, (int, float)) and isfinite(v) for v in (*box, area)):
            raise DataError(
                f"{file}: annotation {each.get('id')} has no bbox of four numbers, x, y, width and height, or a wrong area: correct it"
            )
        objects[each["image_id"]].append(each)
    folder = _folder(root, part, file, [str(image["file_name"]) for image in told["images"]])
    found = []
    for image in told["images"]:
        own = objects[image["id"]]
        found.append(picture := _picture(root, folder / str(image["file_name"]), image, own, number))
        if masks:
            found[-1] = replace(picture, outlines=tuple(_outline(file, each, picture) for each in own))
    return found


def _outline(file: Path, told: Mapping[str, Any], picture: Picture) -> Outline | None:
    """Return the outline of an object."""
    try:
        return outline(told.get("segmentation"), picture.width, picture.height)
    except ValueError as error:
        raise DataError(f"{file}: the segmentation of annotation {told.get('id')} is {error}: correct it, or leave it out") from None


def _picture(root: Path, path: Path, image: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], number: Mapping[int, int]) -> Picture:
    """Return one picture."""
    if not path.is_file():
        raise DataError(f"the picture {path} is missing: add it, or leave it out of images")
    width, height = (image["width"], image["height"]) if image.get("width") and image.get("height") else size_of(path)
    sides = np.array([each["bbox"] for each in objects], dtype=np.float64).reshape(-1, 4)
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], 1)
    area = np.array([float(each.get("area") or 0) for each in objects])
    return Picture(
        path.relative_to(root).as_posix(),
        int(width),
        int(height),
        boxes,
        np.array([number[each["category_id"]] for each in objects], dtype=np.int64),
        np.array([bool(each.get("iscrowd")) for each in objects], dtype=bool),
        np.where(area > 0, area, np.clip(sides[:, 2:], 0, None).prod(1)),
    )


def _folder(root: Path, part: str, file: Path, names: Sequence[str]) -> Path:
    """Return the folder that the pictures of a file lie in."""
    end = file.stem.rpartition("_")[2]  # train2017 of instances_train2017
    short = next((word for word, whole in PARTS.items() if whole == part), part)
    tried = [file.parent, root, root / "images"]
    tried += [above / name for name in dict.fromkeys((end, part, short)) for above in (root, root / "images")]
    found = next((folder for folder in tried if names and (folder / names[0]).is_file()), None)
    if found is None:
        if not names:
            raise DataError(f"{file} lists no images")
        looked = ", ".join(str(folder) for folder in dict.fromkeys(tried))
        raise DataError(f"the picture {names[0]} of {file} is in none of {looked}: put the pictures into one of them")
    return found
