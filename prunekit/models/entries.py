"""The list of models that have a name, for the start page and the command line, and the recipe on a sample's card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.ids import ModelId
from prunekit.config.registered import registered_models
from prunekit.models.folder import is_folder, stored_architecture
from prunekit.models.info import info
from prunekit.models.zoos import TIMM, TORCHVISION, timm_names, torchvision_names
from sample_models import FOLDERS, SAMPLES, card
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


def moves_of(*models: nn.Module | None) -> tuple[int, bool] | None:
    """Return how far, in pixels, pictures were shifted in a model's own training, and whether mirrored; None where no card says so."""
    for model in (each for each in models if each is not None):
        recipe, name = _recipe(model), _sample_of(model)
        if recipe is not None:
            return recipe.shift, recipe.flip
        told = card(name).get("recipe", {}) if name in FOLDERS else {}
        if "shift" in told or "flip" in told:
            return int(told.get("shift", 0)), bool(told.get("flip", False))
    return None


def _recipe(model: nn.Module | None) -> TrainRecipe | None:
    """Return the recipe of one model."""
    name = "" if model is None else _sample_of(model)
    return SAMPLES[name].recipe if name in SAMPLES else None


def _sample_of(model: nn.Module) -> str:
    """Return the name of the sample that a model is, or was made from; another name where it is none."""
    known = info(model)
    name = str((known.card or {}).get("name")) if known.id is None else known.id.name  # one trained anew has a card and no name yet
    return stored_architecture(name) if name not in SAMPLES and is_folder(Path(name).expanduser()) else name


DESCRIPTIONS: dict[str, str] = {
    **{s.name: s.description for s in SAMPLES.values()},
    **{name: str(card(name).get("description", "")) for name in FOLDERS},
    "torchvision": "An architecture of torchvision: its structure and cost are real, its weights random unless you load some.",
    "timm": "An architecture of timm: its structure and cost are real, its weights random.",
    "own": "A model that you named when you started prunekit.",
}
"""What the models with a card are, by name."""


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list of models.

    Parameters
    ----------
    name : str
        What to ask for.
    kind : {"sample", "torchvision", "own", "timm"}
        Where it comes from.
    title, task, description : str
        Title, what it does in a few words, and one plain sentence.
    card : dict, optional
        A sample's card.
    id : ModelId
        The whole identity, with the weights of a registered model.
    data : str
        Name of a sample's data.
    """

    name: str
    kind: str
    title: str
    task: str
    description: str
    card: dict[str, Any] | None
    id: ModelId
    data: str = ""


KINDS = ("sample", "torchvision", "own")


def list_models(*kinds: str) -> list[ModelEntry]:
    """Return all models that have a name: samples, torchvision's classifiers, and those registered at launch.

    Parameters
    ----------
    *kinds : {"sample", "torchvision", "own", "timm"}
        Only these, those of timm when they are named; those of torchvision and timm wait for its import.
    """
    return [entry for kind in _ENTRIES if kind in (kinds or KINDS) for entry in _ENTRIES[kind]()]


def _samples() -> Iterable[ModelEntry]:
    """Return the entries of the samples."""
    for s in SAMPLES.values():
        yield ModelEntry(s.name, "sample", s.title, s.task, s.description, card(s.name) or None, ModelId(s.name), s.data)
    for name in FOLDERS:
        words = {"title": name, "about": "", "description": "", "data": name, **card(name)}
        title, about, description, data = (str(words[key]) for key in ("title", "about", "description", "data"))
        yield ModelEntry(name, "sample", title, about, description, card(name) or None, ModelId(name), data)


def _own() -> Iterable[ModelEntry]:
    """Return the entries of what was registered at launch."""
    return (ModelEntry(i.name, "own", _own_title(i), "your own", DESCRIPTIONS["own"], None, i) for i in registered_models())


@lru_cache(maxsize=1)
def _torchvision_entries() -> tuple[ModelEntry, ...]:
    """Return the entries of torchvision's classifiers."""
    task = "photographs (ImageNet), 1,000 classes"
    return tuple(
        ModelEntry(TORCHVISION + n, "torchvision", n, task, DESCRIPTIONS["torchvision"], None, ModelId(TORCHVISION + n))
        for n in torchvision_names()
    )


@lru_cache(maxsize=1)
def _timm_entries() -> tuple[ModelEntry, ...]:
    """Return the entries of timm's models."""
    task = "photographs (ImageNet), 1,000 classes"
    return tuple(ModelEntry(TIMM + n, "timm", n, task, DESCRIPTIONS["timm"], None, ModelId(TIMM + n)) for n in timm_names())


_ENTRIES: dict[str, Callable[[], Iterable[ModelEntry]]] = {
    "sample": _samples,
    "torchvision": _torchvision_entries,
    "own": _own,
    "timm": _timm_entries,
}


def _own_title(model_id: ModelId) -> str:
    """Return the title of a registered model: the factory or folder, and the weights if any."""
    base = Path(model_id.name).name
    return base if model_id.weights is None else f"{base} ({Path(model_id.weights).name})"
