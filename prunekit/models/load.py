"""Models by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.ids import ModelId
from prunekit.errors import CheckpointError, ModelError, TaskError, closest
from prunekit.models.architectures import build, frozen, is_named
from prunekit.models.checkpoints import State, fit_state, read_checkpoint
from prunekit.models.entries import list_models
from prunekit.models.folder import read_folder
from prunekit.models.hugging_face_files import COPIES
from prunekit.models.info import ModelInfo, info
from prunekit.models.wrappers import remove_parametrizations

UPLOAD = "upload:"


def load_model(
    name: str | PathLike[str] | ModelId,
    *,
    weights: str | PathLike[str] | None = None,
    pretrained: bool = False,
    copies: float = COPIES,
) -> nn.Module:
    """Return a model by name: a fresh module in eval mode whose parameters take no gradient.

    Parameters
    ----------
    name : str or ModelId
        A sample, ``torchvision/NAME``, ``timm/NAME``, ``hf:FOLDER_OR_ID``, ``path/to/file.py:factory`` or a folder that prunekit wrote.
    weights : str, optional
        A checkpoint to load into it: safetensors, .pt, .pth or .th.
    pretrained : bool
        Download torchvision's weights; without it and without ``weights`` they are random, from a fixed seed.
    copies : float
        How many times the weights of a Hugging Face folder will be held at once: one for which memory does not suffice is refused before it
        is read. 2.2 leaves room for a pruned copy, 1.7 for ``prune(..., consume=True)``, 1.1 for the model alone.

    Returns
    -------
    nn.Module
        `info` tells what is known of it.

    Raises
    ------
    ModelError
        If the name is unknown or the model cannot be built.
    CheckpointError
        If the weights are missing, damaged, unsafe or of another architecture.

    Examples
    --------
    >>> load_model("digits_mlp").fc3.weight.shape
    torch.Size([10, 100])
    """
    model_id = name if isinstance(name, ModelId) else ModelId(str(name) if isinstance(name, PathLike) else name)
    if weights is not None or pretrained:
        model_id = replace(model_id, weights=None if weights is None else str(weights), pretrained=pretrained)
    if model_id.weights is not None and model_id.weights.startswith(UPLOAD):
        raise CheckpointError(f"the weights {model_id.weights} were uploaded to another server: upload the file again")
    state = None if model_id.weights is None else read_checkpoint(model_id.weights)
    model, known = _made(model_id, state, copies)
    if model_id.weights is not None and state is not None:
        fit_state(model, state, Path(model_id.weights).name)
        known = replace(known, card=_prepared(known.card))
    if model_id.remove_parametrizations:
        remove_parametrizations(model)
    return frozen(model, known)


def load_upload(name: str, payload: bytes, filename: str) -> nn.Module:
    """Return a known architecture with uploaded weights.

    Parameters
    ----------
    name : str
        A sample, ``torchvision/NAME`` or a model registered at launch; no other path is followed.
    payload : bytes
        The weights file.
    filename : str
        What to call it in errors.

    Raises
    ------
    ModelError
        If the architecture is not one of the list.
    CheckpointError
        If the file is damaged, unsafe or of another architecture.
    """
    entries = {entry.name: entry for entry in list_models()}
    if name not in entries:
        raise ModelError(f"no architecture named {name!r} takes an upload{closest(name, entries)}")
    state = read_checkpoint(payload, filename)
    model, known = _made(ModelId(name), state)
    fit_state(model, state, filename)
    content = hashlib.sha256(payload).hexdigest()[:16]
    return frozen(model, replace(known, id=ModelId(name, weights=UPLOAD + content), card=_prepared(known.card)))


def _prepared(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a card says of the pixels; what it measured were other weights."""
    return None if told is None else {key: told[key] for key in ("data", "pixels", "jpeg_quality") if key in told}


def _made(model_id: ModelId, state: State | None, copies: float = COPIES) -> tuple[nn.Module, ModelInfo]:
    """Return the module that ``model_id`` names, before ``state`` is loaded into it, and what is known of it."""
    folder = Path(model_id.name).expanduser()
    if model_id.pretrained or is_named(model_id.name) or not folder.is_dir():
        return build(model_id, state, copies)
    return _folder(model_id, folder)


def _folder(model_id: ModelId, folder: Path) -> tuple[nn.Module, ModelInfo]:
    """Return the model in a folder that prunekit wrote."""
    wanted = ("model.safetensors", "recipe.yaml")
    missing = [file for file in wanted if not (folder / file).is_file()]
    if missing:
        raise ModelError(f"the folder {folder} has no {' and no '.join(missing)}: name a folder that prunekit prune --out wrote")
    model = read_folder(folder)
    known = info(model)
    kept = None if known.id is None else known.id.task
    if kept is not None and model_id.task not in (None, kept):
        raise TaskError(
            f"which task is it? you ask for {model_id.task!r} and the folder {folder} is of {kept!r}. Ask for none, or for that"
        )
    return model, replace(known, id=replace(model_id, task=kept or model_id.task))
