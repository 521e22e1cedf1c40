"""How background work gets its models and data: loaded afresh, or from whoever keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.data.load import load_data
from prunekit.models.load import load_model

Loader = Callable[[ModelId, DataId | None], tuple[nn.Module, Any]]


def fresh(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Load a model and its data, where there are any; sizes and pixels come from the model's card."""
    model = load_model(model_id)
    return model, None if data_id is None else load_data(data_id, model=model)


_LOADER: list[Loader] = [fresh]


def load(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Return a dense model, never to be written to, and data; None for none."""
    return _LOADER[-1](model_id, data_id)


def use_loader(loader: Loader) -> None:
    """Let another function give models and data in this process: the dashboard's server keeps them, uploads included.

    Parameters
    ----------
    loader : callable
        Takes a `ModelId` and a `DataId` or None; what it returns is shared and stays as it is.
    """
    _LOADER[:] = [loader]
