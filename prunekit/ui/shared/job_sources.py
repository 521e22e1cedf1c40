"""What background work is given: names that a restarted server understands, and the models and data that are loaded already."""

from __future__ import annotations

from typing import Any

from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError
from prunekit.experiments.sources import fresh, use_loader
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.shared.cache import LRU
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings
from prunekit.ui.state.uploads import uploads

_LENT = LRU[tuple[ModelId, DataId | None], tuple[nn.Module, Any]](6)


def names(now: Settings, loaded: Loaded) -> tuple[ModelId, DataId]:
    """Return the model and the data in use as the core names them.

    Raises
    ------
    DataError
        If there are no data.
    """
    model = model_of(loaded)
    name = data_cache.data_name(now, loaded)
    if name == data_cache.NO_DATA:
        raise DataError("there are no data to measure on: choose some on the Start page")
    return model, data_cache.data_id(name, now.limit, loaded)


def model_of(loaded: Loaded) -> ModelId:
    """Return the model in use as the core names it."""
    entry, source = model_cache.entry_of(loaded.source.name), loaded.source
    path = uploads().path(source.upload) if source.upload else None
    weights = str(path) if path is not None else (f"upload:{source.upload}" if source.upload else entry.id.weights)
    return ModelId(entry.id.name, weights, source.pretrained or entry.id.pretrained, model_cache.task_of(source, entry))


def lend(now: Settings, loaded: Loaded, data: Any) -> tuple[ModelId, DataId]:
    """Return what `names` does, and let jobs of this server use what is loaded already."""
    key = names(now, loaded)
    _LENT.put(key, (loaded.model, data))
    return key


def lend_alone(loaded: Loaded) -> ModelId:
    """Return what the core calls a model that has no data here, and let jobs of this server use it."""
    name = model_of(loaded)
    _LENT.put((name, None), (loaded.model, None))
    return name


def _loader(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Return what was lent, else load it."""
    return _LENT.get((model_id, data_id)) or fresh(model_id, data_id)


use_loader(_loader)
