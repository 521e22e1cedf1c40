"""Names of models and data with absolute paths: what is kept is opened again from another folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunekit.catalog.factories import is_factory
from sample_models import SAMPLES

IMAGES = "imagefolder:"
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
    if name.startswith(IMAGES):
        return {**plain, "name": f"{IMAGES}{Path(name.removeprefix(IMAGES)).expanduser().resolve()}"}
    folder = Path(name).expanduser()
    written = name not in SAMPLES and (folder / "model.safetensors").is_file()
    return {**plain, "name": str(folder.resolve())} if written else plain
