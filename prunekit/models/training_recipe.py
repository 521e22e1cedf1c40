"""How a model was trained: the recipe on a sample's card, for what is trained further and for what is trained anew."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from prunekit.models.folder import is_folder, stored_architecture
from prunekit.models.info import info
from sample_models import SAMPLES
from sample_models.recipes import TrainRecipe


def training_of(*models: nn.Module | None) -> TrainRecipe | None:
    """Return the recipe that a model was trained by: its epochs, learning rate and augmentation.

    Parameters
    ----------
    models : nn.Module or None
        As `load_model` returned it; a folder that prunekit wrote counts as the model that it was made from. Of several, the first
        that has a card decides.

    Returns
    -------
    TrainRecipe or None
        None where there is no card.
    """
    return next((found for found in map(_recipe, models) if found is not None), None)


def _recipe(model: nn.Module | None) -> TrainRecipe | None:
    """Return the recipe of one model."""
    if model is None:
        return None
    known = info(model)
    name = str((known.card or {}).get("name")) if known.id is None else known.id.name  # one trained anew has a card and no name yet
    if name not in SAMPLES and is_folder(Path(name).expanduser()):
        name = stored_architecture(name)
    return SAMPLES[name].recipe if name in SAMPLES else None
