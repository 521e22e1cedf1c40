"""The folder that pruning writes and that opens again: `model.safetensors`, `recipe.yaml`, `result.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.errors import ModelError, PrunekitError, SpecError
from prunekit.local_code.factories import is_factory
from prunekit.models.architectures import build
from prunekit.models.drafts import bring_back, draft, put
from prunekit.models.hugging_face_files import PREFIX as HUGGING_FACE
from prunekit.models.info import ModelInfo, info, remember, side_of
from prunekit.models.saved_values import BESIDE, RESULT, WEIGHTS, keep, metadata, read_result, restore
from sample_models import FOLDERS, SAMPLES

PREFIXES = ("imagefolder:", "segmentation:", "table:", "textfile:", "csv:")
Plain = Mapping[str, Any] | None


def placed_model(plain: Plain) -> Plain:
    """Return the plain fields of a model, the paths of its file, folder and weights absolute."""
    if plain is None:
        return None
    weights = plain.get("weights")
    if isinstance(weights, str) and Path(weights).expanduser().is_file():
        plain = {**plain, "weights": str(Path(weights).expanduser().resolve())}
    return _named(plain)


def placed_data(plain: Plain) -> Plain:
    """Return the plain fields of data, the path of their file or folder absolute."""
    return None if plain is None else _named(plain)


def _named(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return plain fields with an absolute path in the name, where the name holds one."""
    name = str(plain.get("name") or "")
    if is_factory(name):
        file, _, factory = name.rpartition(":")
        return {**plain, "name": f"{Path(file).expanduser().resolve()}:{factory}"}
    downloaded = ("datasets:", HUGGING_FACE)
    prefix = next((each for each in downloaded if name.startswith(each)), None)
    if prefix and not Path(name.removeprefix(prefix)).expanduser().is_dir():
        return plain  # an id
    for prefix in (*PREFIXES, *downloaded):
        if name.startswith(prefix):
            return {**plain, "name": f"{prefix}{Path(name.removeprefix(prefix)).expanduser().resolve()}"}
    folder = Path(name).expanduser()
    written = name not in SAMPLES and name not in FOLDERS and (folder / "model.safetensors").is_file()
    return {**plain, "name": str(folder.resolve())} if written else plain


__all__ = [
    "BESIDE",
    "RECIPE",
    "RESULT",
    "WEIGHTS",
    "is_folder",
    "read_folder",
    "read_recipe",
    "read_result",
    "stored_architecture",
    "write_folder",
]

RECIPE = "recipe.yaml"


def is_folder(path: str | PathLike[str]) -> bool:
    """Return whether a folder holds what prunekit writes."""
    bring_back(Path(path))
    return all((Path(path) / name).is_file() for name in (WEIGHTS, RECIPE))


def _architecture(recipe: Recipe) -> str:
    """Return the name to rebuild the model from: that of the recipe, or what its own folder was built from."""
    name = str((recipe.model or {}).get("name") or "")
    if not name:
        raise ModelError("only a model that can be built again can be written to a folder: load it with load_model")
    return stored_architecture(name) if not is_factory(name) and is_folder(Path(name).expanduser()) else name


def stored_architecture(path: str | PathLike[str]) -> str:
    """Return the name of the model that a folder was made from."""
    return str(metadata(Path(path).expanduser())["architecture"])


def write_folder(
    path: str | PathLike[str],
    model: nn.Module,
    recipe: Recipe,
    result: Mapping[str, Any] | None = None,
    *,
    samples: Tensor | None = None,
    probed: bool = True,
) -> Path:
    """Write a model so that `load_model(path)` opens it again, smaller ones too.

    Parameters
    ----------
    path : path
        Where to. A folder that prunekit wrote is replaced, as a whole and only at the end; anything else that is there is left alone.
    model : nn.Module
        The pruned model.
    recipe : Recipe
        What made it; its ``model`` names the dense model, its ``input_shape`` is what the model is opened with.
    result : mapping, optional
        What was measured, as JSON.
    samples : Tensor, optional
        A few real samples, for a model that takes no noise.
    probed : bool
        Whether the model's answers are noted, by which it is known when it is opened; what lives for a moment needs none.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    PrunekitError
        If something else is in the way, the model holds what cannot be written down, or the folder cannot be written; nothing
        half-written is left.
    """
    target = Path(path).expanduser()
    if target.exists() and not (target.is_dir() and (is_folder(target) or not any(target.iterdir()))):
        raise PrunekitError(f"{target} exists and prunekit did not write it: name another folder")
    recipe = replace(recipe, model=placed_model(recipe.model), data=placed_data(recipe.data))
    architecture = _architecture(recipe)
    shape = recipe.input_shape or info(model).input_shape
    try:
        with draft(target) as beside:
            made = beside / "new"
            made.mkdir()
            keep(made, model, architecture, shape, samples=samples, probed=probed)
            (made / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
            (made / RESULT).write_text(json.dumps(result or {}, indent=2), encoding="utf-8")
            put(made, target)
    except OSError as error:
        raise PrunekitError(f"cannot write to {target}: {error.strerror or error}") from None
    return target


def read_recipe(path: str | PathLike[str]) -> Recipe:
    """Return the recipe in a folder."""
    file = Path(path).expanduser() / RECIPE
    try:
        return Recipe.from_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {file}: {error.strerror or error}") from None


def read_folder(path: str | PathLike[str]) -> nn.Module:
    """Open a folder that prunekit wrote.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    nn.Module
        Of the original class, at the stored widths; eval mode, no gradients.

    Raises
    ------
    CheckpointError, ModelError
        If the folder is damaged, does not fit its architecture, answers otherwise than the model that was saved, or names code that lies
        inside itself.
    """
    folder = Path(path).expanduser()
    if not is_folder(folder):
        raise ModelError(f"{folder} is no folder that prunekit wrote: it needs {WEIGHTS} and {RECIPE}")
    recipe = read_recipe(folder)  # one that was tampered with is refused before anything is built
    told = metadata(folder)
    _refuse_own_code(told["architecture"], folder)
    model, known = build(ModelId(told["architecture"]), None)
    model.eval().requires_grad_(True)
    checked = restore(model, folder, told, recipe.input_shape or known.input_shape)
    known = replace(
        known,
        id=ModelId(str(folder), task=(recipe.model or {}).get("task")),
        checked=checked,
        classes=known.classes if _names_all(known, told) else (),
    )
    return remember(model.eval().requires_grad_(False), _as_measured(known, recipe, folder))


def _as_measured(known: ModelInfo, recipe: Recipe, folder: Path) -> ModelInfo:
    """Return what is known of a model that is opened: what its recipe says of shape and pixels stands above what its architecture does."""
    shape = recipe.input_shape or known.input_shape
    # the card keeps how pixels are prepared; what it measured was another model
    card = None if known.card is None else {k: v for k, v in known.card.items() if k in ("data", "pixels", "trained_on", "jpeg_quality")}
    size, guessed = side_of(recipe.input_shape) or known.size, known.guessed and recipe.input_shape is None
    known = replace(known, input_shape=shape, size=size, card=card, guessed=guessed)
    measured = None if recipe.data is None else DataId.from_dict(recipe.data)
    if measured is None or (is_factory(measured.name) and _lies_in(measured.name, folder)):
        return known
    told = {field: value for field in ("mean", "std", "classes") if (value := getattr(measured, field))}
    return replace(known, **told, measured=measured)


def _names_all(known: ModelInfo, told: Mapping[str, Any]) -> bool:
    """Return whether the architecture's classes are those of the stored weights: these may have been trained for others."""
    shapes = [list(answer["shape"]) for answer in (told.get("probe") or {}).get("answers", ())[:1]]
    return all(len(shape) != 2 or shape[1] == len(known.classes) for shape in shapes)


def _lies_in(name: str, folder: Path) -> bool:
    """Return whether the file of ``file.py:factory`` lies inside a folder, which must not bring code along."""
    return Path(name.rpartition(":")[0]).expanduser().resolve().is_relative_to(folder.resolve())


def _refuse_own_code(architecture: str, folder: Path) -> None:
    """Raise if a folder names a Python file inside itself: a folder from someone else must not bring code along."""
    if not is_factory(architecture):
        return
    code = Path(architecture.rpartition(":")[0]).expanduser().resolve()
    if _lies_in(architecture, folder):
        raise ModelError(f"{folder} names code inside itself ({code.name}): keep the file elsewhere, and only if you trust it")
    if not code.is_file():
        raise ModelError(f"{folder} was made from {architecture}, which is not there: bring the file back to build the model again")
