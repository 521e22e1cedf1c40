"""The user's own models and data, registered by ``prunekit app --model ... --data ...``, and how they reach the server it starts."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, ModelError, PrunekitError

VARIABLE = "PRUNEKIT_REGISTER"


def to_environment(models: Sequence[ModelId], data: Sequence[DataId]) -> dict[str, str]:
    """Return what to add to the environment of the server; nothing where nothing is registered."""
    if not models and not data:
        return {}
    return {VARIABLE: json.dumps({"models": [m.to_dict() for m in models], "data": [d.to_dict() for d in data]})}


def from_environment() -> tuple[list[ModelId], list[DataId]]:
    """Return the models and data that were registered when this process was started."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return [], []
    try:
        told = json.loads(text)
        return [ModelId.from_dict(m) for m in told["models"]], [DataId.from_dict(d) for d in told["data"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise PrunekitError(
            f"the environment variable {VARIABLE} is damaged ({error}): start with prunekit app --model ... --data ..."
        ) from None


MOST = 64

Id = TypeVar("Id", ModelId, DataId)

_MODELS: list[ModelId] = []
_DATA: list[DataId] = []
_LOCK = threading.Lock()


def register_model(model_id: ModelId) -> ModelId:
    """List a model under "Your own" in this process; again is once. Returns it."""
    return _register(_MODELS, model_id, ModelId, ModelError)


def register_data(data_id: DataId) -> DataId:
    """List data under "Your own" in this process; again is once. Returns it."""
    return _register(_DATA, data_id, DataId, DataError)


def registered_models() -> tuple[ModelId, ...]:
    """Return the registered models, in order."""
    _from_launch()
    with _LOCK:
        return tuple(_MODELS)


def registered_data() -> tuple[DataId, ...]:
    """Return the registered data, in order."""
    _from_launch()
    with _LOCK:
        return tuple(_DATA)


def data_for(model_id: ModelId) -> tuple[DataId, ...]:
    """Return the data that a registered model may be opened with: each its own where there are as many, else all; none for others."""
    models, data = registered_models(), registered_data()
    if model_id not in models:
        return ()
    return (data[models.index(model_id)],) if len(data) == len(models) else data


@cache
def _from_launch() -> None:
    """Register what `prunekit app` named when it started this process, once."""
    models, data = from_environment()
    for model_id in models:
        register_model(model_id)
    for data_id in data:
        register_data(data_id)


def _register(table: list[Id], value: Id, cls: type[Id], error: type[PrunekitError]) -> Id:
    """Append ``value`` unless it is there."""
    if not isinstance(value, cls):
        raise error(f"register a {cls.__name__}, as in {cls.__name__}('...'); got {value!r}")
    with _LOCK:
        if value not in table:
            if len(table) >= MOST:
                raise error(f"at most {MOST} can be registered: start another prunekit for the rest")
            table.append(value)
    return value
