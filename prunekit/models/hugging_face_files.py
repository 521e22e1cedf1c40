"""Checks of a Hugging Face folder before any of it is opened: no code, no pickle, weights, and memory for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from prunekit.errors import CheckpointError, ModelError, PrunekitError
from prunekit.formatting import size

PREFIX = "hf:"
CONFIG, WEIGHTS = "config.json", "*.safetensors"
TOLD = (CONFIG, "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".h5", ".msgpack")
WANTED = ("*.json", WEIGHTS, "*.txt", "*.model")
"""What is downloaded of a repository: never code, never a pickle."""
COPIES, CONSUMED = 2.2, 1.7
"""How many times weights are held at once: by the dense model, a pruned copy and what one layer takes; by a model that is used up."""


def folder_of(name: str, copies: float = COPIES) -> Path:
    """Return the folder that ``hf:FOLDER_OR_ID`` names; what has an id is downloaded where it is not kept yet."""
    asked = name.removeprefix(PREFIX)
    folder = Path(asked).expanduser()
    if asked and folder.is_dir():
        return folder
    if not asked or asked.startswith((".", "/", "~")) or asked.count("/") > 1:
        raise ModelError(f"there is no folder {asked!r}: name one with {CONFIG} and model.safetensors in it, or an id such as org/name")
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415 (few need it, and it is slow to import)

    try:
        return Path(snapshot_download(asked, allow_patterns=list(WANTED), local_files_only=True))
    except Exception:  # it is not kept here
        try:
            told = HfApi().model_info(asked, files_metadata=True).siblings or []
            sizes = [file.size or 0 for file in told if file.rfilename.endswith(WEIGHTS.removeprefix("*"))]
            if not sizes:
                raise CheckpointError(f"the repository {asked} has no weights in safetensors, and nothing else is opened: choose another")
            _check_memory(sum(sizes), name, copies)
            return Path(snapshot_download(asked, allow_patterns=list(WANTED)))
        except PrunekitError:
            raise
        except Exception as error:  # whatever a network makes of it
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(
                f"there is no folder {asked!r}, and no repository of that id can be fetched ({line[:160]}): check the name, or fetch the "
                f"folder elsewhere and name it as {PREFIX}path/to/folder"
            ) from None


def checked(folder: Path, name: str, copies: float = COPIES) -> dict[str, Any]:
    """Return what the configuration in a folder says, where the folder is safe to open and its weights fit into memory."""
    told = {file: _json(folder / file) for file in TOLD if (folder / file).is_file()}
    if CONFIG not in told:
        raise CheckpointError(f"{folder} has no {CONFIG}: name a folder that save_pretrained wrote")
    coded = [file for file, content in told.items() if "auto_map" in content]
    if coded:
        raise CheckpointError(
            f"{folder} wants code of its own run ({coded[0]} has an auto_map), which is never done: choose a model whose class is one of "
            "transformers itself"
        )
    weights = sorted(folder.glob(WEIGHTS))
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        raise CheckpointError(
            f"{folder} holds {pickles[0]}, which is or may be a pickle and could run code: "
            + ("remove it, the weights in safetensors are enough" if weights else "save the model with safetensors instead")
        )
    if not weights:
        raise CheckpointError(f"{folder} has a {CONFIG} and no weights: put model.safetensors beside it, or name a folder that has them")
    _check_memory(sum(path.stat().st_size for path in weights), name, copies)
    return told[CONFIG]


def _json(path: Path) -> dict[str, Any]:
    """Return what a file of settings says."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy or download it again") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no settings but a {type(found).__name__}: copy or download it again")
    return found


def _check_memory(weights: int, name: str, copies: float) -> None:
    """Raise unless a model fits into the memory that is free as many times as it is to be held."""
    free = psutil.virtual_memory().available
    if weights * copies > free:
        beside = "to open it and prune it as it is" if copies < COPIES else "with a pruned copy beside them"
        raise ModelError(
            f"{name} holds {size(weights)} of weights; {beside} {size(weights * copies)} are needed and {size(free)} "
            f"are free. What fits has at most {size(free / copies)} of weights: {free / copies / 2e9:.1f} billion parameters of 16 bits, "
            f"or {free / copies / 4e9:.1f} billion of 32"
        )
