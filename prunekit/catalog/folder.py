"""The folder that pruning writes and that opens again: `model.safetensors`, `recipe.yaml`, `result.json`.

The weights file says in its metadata which architecture it is and how wide each of its modules is, so that a smaller model is rebuilt
from the original class and plain numbers: nothing in the folder is executed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from prunekit.anatomy import apply_widths, widths
from prunekit.catalog.factories import is_factory
from prunekit.catalog.ids import ModelId
from prunekit.catalog.info import info, remember
from prunekit.errors import CheckpointError, ModelError, PrunekitError, SpecError
from prunekit.spec import Recipe

WEIGHTS, RECIPE, RESULT = "model.safetensors", "recipe.yaml", "result.json"
FILES = (WEIGHTS, RECIPE, RESULT)
VERSION = 1


def is_folder(path: str | PathLike[str]) -> bool:
    """Return whether a folder holds what prunekit writes."""
    return all((Path(path) / name).is_file() for name in (WEIGHTS, RECIPE))


def _architecture(recipe: Recipe) -> str:
    """Return the name to rebuild the model from: that of the recipe, or what its own folder was built from."""
    name = str((recipe.model or {}).get("name") or "")
    if not name:
        raise ModelError("only a model that the catalog can build again can be written to a folder: load it with load_model")
    if is_factory(name):
        path, _, factory = name.rpartition(":")
        return f"{Path(path).expanduser().resolve()}:{factory}"
    return stored_architecture(name) if is_folder(Path(name).expanduser()) else name


def stored_architecture(path: str | PathLike[str]) -> str:
    """Return the name of the model that a folder was made from.

    Raises
    ------
    CheckpointError
        If the folder is damaged.
    """
    return str(_metadata(Path(path).expanduser())["architecture"])


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what a weights file says about itself, checked."""
    path = folder / WEIGHTS
    try:
        with safe_open(str(path), framework="pt") as file:
            told = json.loads((file.metadata() or {}).get("prunekit", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}): write the folder again") from None
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise CheckpointError(
            f"{path} was not written by this version of prunekit: prune again, or pass it as --weights of its architecture"
        )
    if not isinstance(told.get("architecture"), str) or not isinstance(told.get("widths"), dict):
        raise CheckpointError(f"{path} does not say which architecture it is: write the folder again")
    return told


def write_folder(path: str | PathLike[str], model: nn.Module, recipe: Recipe, result: Mapping[str, Any] | None = None) -> Path:
    """Write a model so that `load_model(path)` opens it again, smaller ones too.

    Parameters
    ----------
    path : path
        Where to. A folder that prunekit wrote is replaced, as a whole and only at the end; anything else that is there is left alone.
    model : nn.Module
        The pruned model.
    recipe : Recipe
        What made it; its ``model`` names the dense model.
    result : mapping, optional
        What was measured, as JSON.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    PrunekitError
        If something else is in the way, or the folder cannot be written; nothing half-written is left.
    """
    target = Path(path).expanduser()
    if target.exists() and not (target.is_dir() and (is_folder(target) or not any(target.iterdir()))):
        raise PrunekitError(f"{target} exists and prunekit did not write it: name another folder")
    told = {"version": VERSION, "architecture": _architecture(recipe), "widths": widths(model)}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise PrunekitError(f"cannot write to {target}: {error.strerror or error}") from None
    try:
        _fill(draft, model, told, recipe, result)
        _swap(draft, target)
    except OSError as error:
        raise PrunekitError(f"cannot write to {target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _fill(draft: Path, model: nn.Module, told: dict[str, Any], recipe: Recipe, result: Mapping[str, Any] | None) -> None:
    """Write the three files into an empty folder."""
    # tied tensors are stored once under each name: safetensors refuses shared memory
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, str(draft / WEIGHTS), metadata={"format": "pt", "prunekit": json.dumps(told)})
    (draft / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    (draft / RESULT).write_text(json.dumps(result or {}, indent=2), encoding="utf-8")
    draft.chmod(0o755)  # mkdtemp makes it private, and so does safetensors its file
    (draft / WEIGHTS).chmod(0o644)


def _swap(draft: Path, target: Path) -> None:
    """Put the finished folder in its place; what prunekit wrote there before goes only then."""
    if not target.exists():
        draft.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old / "it")
    try:
        draft.rename(target)
    except OSError:
        (old / "it").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def read_recipe(path: str | PathLike[str]) -> Recipe:
    """Return the recipe in a folder."""
    file = Path(path).expanduser() / RECIPE
    try:
        return Recipe.from_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {file}: {error.strerror or error}") from None


def read_result(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what was measured when a folder was written; empty where nothing was."""
    try:
        told = json.loads((Path(path).expanduser() / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


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
        If the folder is damaged, does not fit its architecture, or names code that lies inside itself.
    """
    from prunekit.catalog.checkpoints import fit_state, read_checkpoint  # noqa: PLC0415
    from prunekit.catalog.models import load_model  # noqa: PLC0415 (models opens folders through this module)

    folder = Path(path).expanduser()
    if not is_folder(folder):
        raise ModelError(f"{folder} is no folder that prunekit wrote: it needs {WEIGHTS} and {RECIPE}")
    read_recipe(folder)  # a recipe that was tampered with is refused before anything is built
    told = _metadata(folder)
    _refuse_own_code(told["architecture"], folder)
    base = load_model(told["architecture"])
    model = base.requires_grad_(True)
    known = info(base)
    apply_widths(model, told["widths"])
    fit_state(model, read_checkpoint(folder / WEIGHTS), str(folder / WEIGHTS))
    # the card keeps how pixels are prepared; what it measured was another model
    card = None if known.card is None else {k: v for k, v in known.card.items() if k in ("data", "pixels", "trained_on", "jpeg_quality")}
    return remember(model.eval().requires_grad_(False), replace(known, id=ModelId(str(folder)), card=card))


def _refuse_own_code(architecture: str, folder: Path) -> None:
    """Raise if a folder names a Python file inside itself: a folder from someone else must not bring code along."""
    if not is_factory(architecture):
        return
    code = Path(architecture.rpartition(":")[0]).resolve()
    if code.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder} names code inside itself ({code.name}): keep the file elsewhere, and only if you trust it")
    if not code.is_file():
        raise ModelError(f"{folder} was made from {architecture}, which is not there: bring the file back to build the model again")
