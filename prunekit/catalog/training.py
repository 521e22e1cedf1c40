"""How a model was trained: the recipe on a sample's card, for what is trained further and for what is trained anew."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from prunekit.catalog.folder import is_folder, stored_architecture
from prunekit.catalog.info import info
from sample_models import SAMPLES
from sample_models.recipes import TrainRecipe


def training_of(model: nn.Module) -> TrainRecipe | None:
    """Return the recipe that a model was trained by: its epochs, learning rate and augmentation.

    Parameters
    ----------
    model : nn.Module
        As `load_model` returned it; a folder that prunekit wrote counts as the model that it was made from.

    Returns
    -------
    TrainRecipe or None
        None for a model without a card.
    """
    known = info(model)
    name = str((known.card or {}).get("name")) if known.id is None else known.id.name  # one trained anew has a card and no name yet
    if name not in SAMPLES and is_folder(Path(name).expanduser()):
        name = stored_architecture(name)
    return SAMPLES[name].recipe if name in SAMPLES else None
