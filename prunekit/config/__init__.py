"""Settings: what is pruned and how, what follows, and the names of models and data. Small frozen values."""

from prunekit.config.ids import DataId, ModelId, data_folder
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery, Training
from prunekit.config.registered import register_data, register_model, registered_data, registered_models
from prunekit.config.spec import PruneSpec

__all__ = [
    "DataId",
    "ModelId",
    "PruneSpec",
    "Recipe",
    "Recovery",
    "Training",
    "data_folder",
    "register_data",
    "register_model",
    "registered_data",
    "registered_models",
]
