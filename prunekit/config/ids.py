"""`ModelId` and `DataId`: the small frozen names that an address, a cache key and a recipe hold; and the folder of downloaded data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import platformdirs

from prunekit.config.fields import check_fields, documented, setting, table
from prunekit.config.kinds import Text, Whole, YesNo
from prunekit.config.several_kinds import Numbers, Titles
from prunekit.errors import DataError, ModelError, PrunekitError

VARIABLE = "PRUNEKIT_DATA"


def chosen_folder() -> Path | None:
    """Return the folder that ``PRUNEKIT_DATA`` names, None where it is not set."""
    value = os.environ.get(VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def data_folder() -> Path:
    """Return the folder for downloads; it need not exist yet."""
    return chosen_folder() or Path(platformdirs.user_cache_dir("prunekit"))


Floats = tuple[float, ...]
MODELS = "a sample, torchvision/NAME, hf:FOLDER_OR_ID, path/to/file.py:factory, or a folder that prunekit wrote"
DATASETS: dict[str, str] = {
    "digits": "Digits: 1,797 small handwritten digits that come with scikit-learn",
    "mnist": "MNIST: 70,000 handwritten digits, downloaded at first use",
    "cifar10": "CIFAR-10: 60,000 small colour photographs, downloaded at first use",
    "diabetes": "Diabetes: ten numbers of 442 patients, and how far the disease had come a year later; they come with scikit-learn",
    "housing": "Housing: eight numbers of 20,640 districts of California, and the median value of a house; read where it lies",
    "reviews": "Reviews: 22,503 reviews of clothes with the department of each; they come with prunekit",
    "reviews:rating": "Reviews: the same, positive (4 or 5 stars) against negative (1 or 2)",
    "shakespeare": "Shakespeare: 1.1 million characters of his plays, to predict the next; they come with prunekit",
    "canvas": "Canvas: 5,500 drawn pictures of 96 x 96 pixels with one to five digits, and a box around each",
    "canvas:masks": "Canvas: the same, and for each pixel which digit it shows, if any",
    "clicks": "Clicks: 460,000 drawn candidates of 2,000 users, and which of them are clicked; the best AUC is known",
    "movielens": "MovieLens: which movie each of 610 people rated last, among 99 that they did not; downloaded at first use",
    "camvid": "CamVid: 701 road scenes of 240 x 180 pixels, and which of eleven things each pixel shows; read where they lie",
}
"""Data by name, with what they are."""
DATA = (
    f"{', '.join(DATASETS)}, segmentation:PATH, coco:PATH, yolo:PATH, table:PATH, textfile:PATH, csv:PATH, datasets:NAME_OR_FOLDER, "
    "imagefolder:PATH or path/to/file.py:factory"
)
CHANNELS = "of each channel; the model's or the data's own by default"


def _known(what: str, values: object, cls: type, error: type[PrunekitError]) -> dict[str, Any]:
    """Return ``values`` as keyword arguments of ``cls`` or say which keys are wrong."""
    names = [f.name for f in fields(cls)]
    if not isinstance(values, Mapping):
        raise error(f"{what} must be a mapping with the keys {', '.join(names)}; got {type(values).__name__}")
    unknown = [str(key) for key in values if key not in names]
    if unknown or "name" not in values:
        wrong = f"has unknown keys: {', '.join(unknown)}" if unknown else "has no name"
        raise error(f"{what} {wrong}; known are {', '.join(names)}")
    return dict(values)


@documented
@dataclass(frozen=True)
class ModelId:
    """Which dense model.

    Raises
    ------
    ModelError
        If a field is not valid.
    """

    name: str = setting(MISSING, Text("model"), "Model", MODELS, flag="")
    weights: str | None = setting(
        None, Text(), "Weights", "checkpoint for it: .safetensors, .pt, .pth or .th (read without executing anything)", address=""
    )
    pretrained: bool = setting(False, YesNo(), "Trained weights", "download torchvision's weights; random from a fixed seed otherwise")
    task: str | None = setting(
        None,
        Text(),
        "Task",
        "what it is for: the name of a task, or path/to/file.py:task; left out, what the model and the data say",
        address="",
    )
    remove_parametrizations: bool = setting(
        False, YesNo(), "Plain weights", "make weights plain that are computed from others (weight and spectral norm)", address=""
    )
    outputs: int | None = setting(
        None,
        Whole(2, (2, 100_000)),
        "Outputs of a new head",
        "of an encoder of hf: without a head, how many classes the new one tells apart; by default as many as the data have",
        address="",
    )

    def __post_init__(self) -> None:
        """Validate and bring paths into text."""
        check_fields(self, ModelError)
        if self.pretrained and self.weights is not None:
            raise ModelError("give either weights or pretrained, not both")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present but those that nobody named and that what was written earlier does not have."""
        later = {"task", "remove_parametrizations", "outputs"}
        return {name: value for name, value in asdict(self).items() if name not in later or value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelId:
        """Build from plain values; unknown keys are refused."""
        return cls(**_known("model", values, cls, ModelError))


@documented
@dataclass(frozen=True)
class DataId:
    """Which data, and how its pixels are brought into form.

    Raises
    ------
    DataError
        If a field is not valid.
    """

    name: str = setting(
        MISSING, Text("data"), "Data", DATA,
        flag="", address="",
    )  # fmt: skip
    limit: int | None = setting(
        None, Whole(1, (0, 10_000_000), 500), "Limit", "at most so many samples in each split, by a fixed stratified choice"
    )
    size: int | None = setting(
        None, Whole(1, (1, 100_000)), "Input size",
        "side of the images in pixels, or tokens of a text; the model's own by default, else that of the data: never resized to a guess",
    )  # fmt: skip
    mean: tuple[float, ...] | None = setting(None, Numbers(), "Mean of each channel", f"mean (pixels in 0..1) {CHANNELS}")
    std: tuple[float, ...] | None = setting(None, Numbers(above=0), "Std of each channel", f"standard deviation {CHANNELS}")
    classes: tuple[str, ...] = setting(
        (), Titles(), "Classes, in the model's order",
        "names of the classes in the order in which the model counts them; the model's or the data's own by default",
    )  # fmt: skip
    text_column: str | None = setting(
        None, Text(), "Text column", "of csv: and datasets:, the column of the texts", address="", usual="text"
    )
    label_column: str | None = setting(
        None, Text(), "Label column", "of csv: and datasets:, the column of the classes", address="", usual="label"
    )
    user_column: str | None = setting(
        None, Text(), "User column", "of csv: for a model that recommends, the column of the users", address="", usual="user"
    )
    time_column: str | None = setting(
        None, Text(), "Time column", "of csv: for a model that recommends, a column of times: the last rows are the test", address=""
    )

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        check_fields(self, DataError)
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise DataError(f"mean and std must have as many values as each other; got {len(self.mean)} and {len(self.std)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present but for classes and columns that nobody named."""
        # what is not given leaves requests and recipes as they were called before there were names
        later = ("classes", "text_column", "label_column", "user_column", "time_column")
        return {
            name: row.kind.plain(getattr(self, name)) for name, row in table(DataId).items() if name not in later or getattr(self, name)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataId:
        """Build from plain values; unknown keys are refused."""
        return cls(**_known("data", values, cls, DataError))
