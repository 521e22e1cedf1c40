"""Models and data by name."""

from typing import Any

from prunekit.catalog.checkpoints import read_checkpoint
from prunekit.catalog.data import Data, Normal, Split, TensorSplit
from prunekit.catalog.datasets import DATASETS, load_data
from prunekit.catalog.entries import DESCRIPTIONS, ModelEntry, list_models
from prunekit.catalog.ids import DataId, ModelId
from prunekit.catalog.info import ModelInfo, info, remember
from prunekit.catalog.models import load_model, load_upload
from prunekit.catalog.registry import register_data, register_model, registered_data, registered_models
from prunekit.catalog.store import data_folder

__all__ = [
    "DATASETS",
    "DESCRIPTIONS",
    "Data",
    "DataId",
    "ModelEntry",
    "ModelId",
    "ModelInfo",
    "Normal",
    "Split",
    "TensorSplit",
    "data_folder",
    "info",
    "list_models",
    "load_data",
    "load_model",
    "load_upload",
    "read_checkpoint",
    "read_folder",
    "register_data",
    "register_model",
    "registered_data",
    "registered_models",
    "remember",
    "training_of",
    "write_folder",
]


def __getattr__(name: str) -> Any:
    """Import what reads folders at first use: it stands above loading, which this package starts with (PEP 562)."""
    if name in ("read_folder", "write_folder"):
        from prunekit.catalog import folder  # noqa: PLC0415

        return getattr(folder, name)
    if name == "training_of":
        from prunekit.catalog.training import training_of  # noqa: PLC0415

        return training_of
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
