"""Data by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config.ids import DATA, DataId, Floats
from prunekit.data.canvas import CANVAS, MASKS, load_canvas
from prunekit.data.clicks import CLICKS, load_clicks
from prunekit.data.coco import COCO, load_coco
from prunekit.data.dataset import Data, Normal, TensorSplit
from prunekit.data.downloads import Raw, cifar10, mnist
from prunekit.data.image_files import normalisation
from prunekit.data.image_folder import PREFIX as FOLDER
from prunekit.data.image_folder import load_imagefolder
from prunekit.data.movielens import MOVIELENS, load_movielens
from prunekit.data.own_data import load_own
from prunekit.data.segmentation import CAMVID, load_camvid, load_segmentation
from prunekit.data.segmentation import PREFIX as SEGMENTED
from prunekit.data.stratified import held_out
from prunekit.data.tables import PREFIX as TABLE
from prunekit.data.tables import load_diabetes, load_housing, load_table
from prunekit.data.text import RATING, REVIEWS, SHAKESPEARE, load_reviews, load_shakespeare
from prunekit.data.text_files import PREFIXES as TEXTS
from prunekit.data.yolo import YOLO, load_yolo
from prunekit.errors import DataError, closest
from prunekit.local_code.factories import is_factory
from prunekit.models.info import ModelInfo, info
from prunekit.tasks.torchvision_detectors import learns
from sample_models import FOLDERS, SAMPLES, in_folder

VALIDATION = 0.1
DIGITS_TEST = 360
DIGITS_PIXELS = "scikit-learn's 1,797 grey digits of 8 x 8 pixels, values 0 to 16 divided by 16."
MNIST_PIXELS = "MNIST's own grey images of 28 x 28 pixels, values 0 to 255 divided by 255."


def load_data(
    name: str | PathLike[str] | DataId,
    *,
    limit: int | None = None,
    size: int | None = None,
    mean: Floats | None = None,
    std: Floats | None = None,
    classes: tuple[str, ...] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    user_column: str | None = None,
    time_column: str | None = None,
    model: nn.Module | None = None,
) -> Data:
    """Return data by name, in the same fixed splits on every machine.

    Parameters
    ----------
    name : str or DataId
        A name in `DATASETS`, ``segmentation:PATH``, ``coco:PATH``, ``yolo:PATH``, ``table:PATH``, ``textfile:PATH``, ``csv:PATH``,
        ``datasets:NAME_OR_FOLDER``, ``imagefolder:PATH`` or ``path/to/file.py:factory``.
    limit : int, optional
        At most so many images in each split, by a fixed stratified choice.
    size : int, optional
        Side of the images in pixels; of text, tokens of a text or of a window.
    mean, std : tuple of float, optional
        Normalisation of pixels in 0..1, for each channel.
    classes : tuple of str, optional
        Names of the classes in the order in which the model counts them.
    text_column, label_column : str, optional
        Of ``csv:`` and ``datasets:``, which columns hold the texts and their classes: ``text`` and ``label`` by default.
    user_column, time_column : str, optional
        Of ``csv:`` for a model that recommends, which columns hold users (``user`` by default) and times: where these are named, the last
        rows are the test. All other columns but the label are the model's arguments (`prunekit.data.interactions.load_interactions`).
    model : nn.Module, optional
        Whose card or factory gives what is left open: size, mean, std, classes, and whether CIFAR-10 is re-encoded as JPEG. Where
        nobody gives a size, the samples keep their own.

    Returns
    -------
    Data
        With ``train`` and ``validation`` where there are training images.

    Raises
    ------
    DataError
        If the name is unknown, data are missing, or a file is not in the expected form.

    Examples
    --------
    >>> len(load_data("digits").test)
    360
    """
    given: dict[str, Any] = {"limit": limit, "size": size, "mean": mean, "std": std, "classes": classes}
    given |= {"text_column": text_column, "label_column": label_column, "user_column": user_column, "time_column": time_column}
    base = name if isinstance(name, DataId) else DataId(cast(str, name))
    data_id = DataId(**{**base.to_dict(), **{field: value for field, value in given.items() if value is not None}})
    known = ModelInfo() if model is None else replace(info(model), masks=learns(model, "masks"))
    if data_id.classes:
        known = replace(known, classes=data_id.classes)
    data = _load(data_id, known)
    return replace(data, classes=data_id.classes or data.classes).limited(data_id.limit)


def _load(data_id: DataId, known: ModelInfo) -> Data:
    """Return the data, every image of it."""
    if data_id.name in BUILT_IN:
        return BUILT_IN[data_id.name](data_id, known)
    if data_id.name.startswith(FOLDER):
        return load_imagefolder(data_id, known)
    if data_id.name.startswith(TABLE):
        return load_table(data_id)
    for prefix, load in {**TEXTS, SEGMENTED: load_segmentation, COCO: load_coco, YOLO: load_yolo}.items():
        if data_id.name.startswith(prefix):
            return load(data_id, known)
    if is_factory(name := in_folder(data_id.name, "data")):
        return replace(load_own(replace(data_id, name=name), known), id=data_id)
    hint = closest(data_id.name, [*BUILT_IN, *FOLDERS]) or ";"
    raise DataError(f"there is no data set {data_id.name!r}{hint} it must be {DATA}")


def _normal(data_id: DataId, known: ModelInfo, channels: int) -> tuple[Normal, tuple[str, ...]]:
    """Return the normalisation: what was asked for, else the model's where its channels agree, else the data's, which is a guess."""
    own = next(sample for sample in SAMPLES.values() if sample.data == data_id.name)
    mean, std, guesses = normalisation(data_id, known, channels, (own.mean, own.std), f"that of {data_id.name} is used")
    return Normal(mean, std, data_id.size or known.size), guesses


def _parted(data_id: DataId, known: ModelInfo, raw: Raw, pixels: str, note: str = "") -> Data:
    """Return data from a training and a test part; a tenth of the training part is held out for validation."""
    normal, guesses = _normal(data_id, known, raw.train.shape[1])
    kept, out = held_out(raw.train_labels, round(VALIDATION * raw.train_labels.size))

    def split(images: Tensor, labels: NDArray[np.int64]) -> TensorSplit:
        return TensorSplit(images, labels, normal, raw.scale)

    train, validation = (split(raw.train[torch.from_numpy(i)], raw.train_labels[i]) for i in (kept, out))
    classes = next(sample.classes for sample in SAMPLES.values() if sample.data == data_id.name)
    return Data(data_id, split(raw.test, raw.test_labels), train, validation, classes, pixels, note, guesses)


@cache
def _digits_raw() -> Raw:
    """Return scikit-learn's digits, read once; 360 of them are the test set."""
    # its file, without itself: the import takes ten times as long, and every start shows digits
    places = spec.submodule_search_locations if (spec := find_spec("sklearn")) is not None else None
    if not places:
        raise DataError("digits come with scikit-learn, which is not here: pip install scikit-learn")
    rows = np.loadtxt(Path(places[0], "datasets", "data", "digits.csv.gz"), delimiter=",", dtype=np.int64)
    images, labels = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8)).to(torch.uint8), rows[:, -1].copy()
    kept, out = held_out(labels, DIGITS_TEST, seed=1)
    return Raw(images[torch.from_numpy(kept)], labels[kept], images[torch.from_numpy(out)], labels[out], 16.0)


def _cifar10(data_id: DataId, known: ModelInfo) -> Data:
    """Return CIFAR-10, re-encoded as JPEG where the model's card says that it was trained on such pixels."""
    card = known.card or {}
    quality = card.get("jpeg_quality")
    how = f"re-encoded as JPEG of quality {quality}, as the model was trained" if quality else "as published"
    note = ""
    if known.data == "cifar10" and str(card.get("trained_on", "cifar10")) != "cifar10":
        note = (
            "The model was trained on a JPEG copy of CIFAR-10 whose order is another, so that about nine in ten of these validation "
            "images were among its training images; the test images were not."
        )
    pixels = f"CIFAR-10's colour images of 32 x 32 pixels, {how}, values 0 to 255 divided by 255."
    return _parted(data_id, known, cifar10(quality), pixels, note)


def _diabetes(data_id: DataId, known: ModelInfo) -> Data:
    """Return scikit-learn's diabetes data."""
    if data_id.size or data_id.mean or data_id.std or data_id.classes:
        raise DataError("diabetes is a table of numbers that are standardised already: leave size, mean, std and classes out")
    return replace(load_diabetes(), id=data_id)


BUILT_IN: dict[str, Callable[[DataId, ModelInfo], Data]] = {
    "digits": lambda data_id, known: _parted(data_id, known, _digits_raw(), DIGITS_PIXELS),
    "mnist": lambda data_id, known: _parted(data_id, known, mnist(), MNIST_PIXELS),
    "cifar10": _cifar10,
    "diabetes": _diabetes,
    "housing": lambda data_id, known: load_housing(data_id),
    REVIEWS: load_reviews,
    RATING: load_reviews,
    SHAKESPEARE: load_shakespeare,
    CANVAS: lambda data_id, known: load_canvas(data_id, known, _digits_raw()),
    MASKS: lambda data_id, known: load_canvas(data_id, known, _digits_raw()),
    CAMVID: load_camvid,
    CLICKS: lambda data_id, known: load_clicks(data_id),
    MOVIELENS: lambda data_id, known: load_movielens(data_id),
}
