"""Data by their public names: what a model may be looked at with, and which of them it is opened with."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from prunekit import config
from prunekit.config.folders import data_folder
from prunekit.config.ids import DataId, ModelId
from prunekit.config.registered import data_for
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo
from prunekit.ui.state.settings import Given

NO_DATA = "none"
BUILT_IN = ("digits", "mnist", "cifar10")


def public(data: DataId) -> str:
    """Return what an address may say about data: no folder of this machine."""
    return data.name if data.name in BUILT_IN else re.sub(r"[^\w./:-]+", "-", data.name.rpartition("/")[2]).strip("-")


def registered_data() -> dict[str, DataId]:
    """Return the data registered at launch by public name."""
    return {public(data): data for data in config.registered_data()}


def brought(info: ModelInfo) -> dict[str, DataId]:
    """Return the data that a model brings along: those that its folder was measured on, with their limit, or those that it names."""
    data = info.measured or (None if info.data is None else DataId(info.data))
    return {} if data is None else {public(data): data}


def known(info: ModelInfo) -> dict[str, DataId]:
    """Return the data that a model may be looked at with by public name; what was named at launch counts before what the model brings."""
    return {**{name: DataId(name) for name in BUILT_IN}, **brought(info), **registered_data()}


def usual(model_id: ModelId | None, info: ModelInfo) -> str:
    """Return the data that a model is opened with: those named beside it at launch, else its own, else none."""
    launched = None if model_id is None else data_for(model_id)
    return public(launched) if launched is not None else next(iter(brought(info)), NO_DATA)


def asked_for(name: str, limit: int, info: ModelInfo, given: Given) -> DataId:
    """Return data as the core names them, with what somebody gave for the model.

    Raises
    ------
    DataError
        If nobody knows data of this name, or what was given does not go together.
    """
    found = known(info).get(name)
    if found is None:
        raise DataError(f"there is no data set named {name!r} here: choose another, or register it with `prunekit app --data`")
    side = given.side if info.input_shape is None or len(info.input_shape) > 1 else None  # a vector has no side
    asked: dict[str, Any] = {"limit": limit, "size": side, "mean": given.mean, "std": given.std, "classes": given.classes}
    return replace(found, **{field: value for field, value in asked.items() if value})


def at_hand(name: str) -> bool:
    """Return whether a data set needs no download now."""
    folder = data_folder()
    return (
        name in registered_data()
        or (name not in _ON_DISK and name != NO_DATA)
        or any((folder / p).exists() for p in _ON_DISK.get(name, ()))
    )


# files, not folders: a download that failed leaves its folders behind
_ON_DISK = {"mnist": ("MNIST/raw/t10k-labels-idx1-ubyte",), "cifar10": ("cifar-10-batches-py/test_batch",)}
