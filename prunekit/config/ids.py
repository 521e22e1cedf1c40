"""`ModelId` and `DataId`: the small frozen names that an address, a cache key and a recipe hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike, fspath
from typing import Any, cast

from prunekit.errors import DataError, ModelError, PrunekitError

Floats = tuple[float, ...]


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


def _name(what: str, value: object, error: type[PrunekitError]) -> str:
    """Return a name or a path as text."""
    text = fspath(cast("PathLike[str]", value)) if isinstance(value, PathLike) else value
    if not isinstance(text, str) or not text.strip():
        raise error(f"{what} must be a name; got {value!r}")
    return text


@dataclass(frozen=True)
class ModelId:
    """Which dense model.

    Parameters
    ----------
    name : str
        A sample, ``torchvision/NAME``, ``path/to/file.py:factory`` or a folder that prunekit wrote.
    weights : str, optional
        Path of a checkpoint to load into it.
    pretrained : bool
        Download torchvision's weights.
    task : str, optional
        What it is for: the name of a task, or ``path/to/file.py:task``; None leaves it to the model and its data.

    Raises
    ------
    ModelError
        If a field is not valid.
    """

    name: str
    weights: str | None = None
    pretrained: bool = False
    task: str | None = None

    def __post_init__(self) -> None:
        """Validate and bring paths into text."""
        put = object.__setattr__  # the dataclass is frozen for everyone else
        put(self, "name", _name("model", self.name, ModelError))
        if self.weights is not None:
            put(self, "weights", _name("weights", self.weights, ModelError))
        if self.task is not None:
            put(self, "task", _name("task", self.task, ModelError))
        if not isinstance(self.pretrained, bool):
            raise ModelError(f"pretrained must be true or false; got {self.pretrained!r}")
        if self.pretrained and self.weights is not None:
            raise ModelError("give either weights or pretrained, not both")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present but a task that nobody named: what was written earlier has none."""
        return {name: value for name, value in asdict(self).items() if name != "task" or value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelId:
        """Build from plain values; unknown keys are refused."""
        return cls(**_known("model", values, cls, ModelError))


def _count(field: str, value: object) -> int | None:
    """Return ``value`` as a positive integer, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(cast(Any, value)) < 1:
        raise DataError(f"{field} must be a whole number of at least 1; got {value!r}")
    return int(cast(Any, value))


def _floats(field: str, value: object) -> Floats | None:
    """Return ``value`` as a tuple of finite floats, or None."""
    if value is None:
        return None
    try:
        numbers = tuple(float(v) for v in cast(Any, value))
    except (TypeError, ValueError):
        numbers = ()
    if isinstance(value, str) or not numbers or not all(math.isfinite(v) for v in numbers):
        raise DataError(f"{field} must be one finite number for each channel, as in 0.5,0.5,0.5; got {value!r}")
    if field == "std" and min(numbers) <= 0:
        raise DataError(f"std must be above 0 in each channel; got {value!r}")
    return numbers


def _names(value: object) -> tuple[str, ...]:
    """Return names of classes as a tuple."""
    names = () if value is None else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(f"classes must be names in the order in which the model counts them, as in cat,dog; got {value!r}")
    if len(set(names)) != len(names):
        raise DataError(f"classes must have different names; got {', '.join(names)}")
    return tuple(names)


@dataclass(frozen=True)
class DataId:
    """Which data, and how its pixels are brought into form.

    Parameters
    ----------
    name : str
        ``digits``, ``mnist``, ``cifar10``, ``imagefolder:PATH`` or ``path/to/file.py:factory``.
    limit : int, optional
        At most so many images in each split, by a fixed stratified choice.
    size : int, optional
        Side of the images in pixels; None takes the model's or the data's own.
    mean, std : tuple of float, optional
        Normalisation for each channel; None takes the model's or the data's own.
    classes : tuple of str
        Names of the classes in the order in which the model counts them, where neither model nor data tell; folders of images are
        numbered by them.

    Raises
    ------
    DataError
        If a field is not valid.
    """

    name: str
    limit: int | None = None
    size: int | None = None
    mean: Floats | None = None
    std: Floats | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        put = object.__setattr__
        put(self, "name", _name("data", self.name, DataError))
        put(self, "limit", _count("limit", self.limit))
        put(self, "size", _count("size", self.size))
        put(self, "mean", _floats("mean", self.mean))
        put(self, "std", _floats("std", self.std))
        put(self, "classes", _names(self.classes))
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise DataError(f"mean and std must have as many values as each other; got {len(self.mean)} and {len(self.std)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present but for classes that nobody named."""
        values = asdict(self)
        for field in ("mean", "std"):
            values[field] = None if values[field] is None else list(values[field])
        if not self.classes:  # what is not given leaves requests and recipes as they were called before there were names
            return {field: value for field, value in values.items() if field != "classes"}
        return {**values, "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataId:
        """Build from plain values; unknown keys are refused."""
        return cls(**_known("data", values, cls, DataError))
