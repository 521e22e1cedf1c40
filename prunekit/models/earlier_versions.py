"""Folders of earlier versions: they held nothing beside the state dict, so buffers outside it are cut anew, or the folder is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prunekit.errors import CheckpointError
from prunekit.models.layers import channel_layers, weight_of
from prunekit.models.rebuilding import resized
from prunekit.models.state import buffers_beside

Kept = Mapping[str, Sequence[int]]
Cutter = Callable[[nn.Module, tuple[int, ...], Kept], Mapping[str, Tensor]]

_CUTTERS: list[Cutter] = []


def use_cutter(cutter: Cutter) -> None:
    """Let a function cut: it takes a dense model, the shape of a sample and the outputs that stay in each layer, and returns tensors."""
    _CUTTERS[:] = [cutter]


def cut(dense: nn.Module, shape: tuple[int, ...], kept: Kept) -> Mapping[str, Tensor]:
    """Return those parameters and buffers of a dense model that become smaller, cut; none where nobody can cut."""
    return _CUTTERS[0](dense, shape, kept) if _CUTTERS else {}


RESULT = "result.json"


def read_result(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what was measured when a folder was written; empty where nothing was."""
    try:
        told = json.loads((Path(path).expanduser() / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def kept_in(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the outputs that stay in each layer, as the ``result.json`` of a folder has them; None where it does not say."""
    layers = read_result(folder).get("layers")
    found = {}
    for layer in layers if isinstance(layers, list) else ():
        stay = layer.get("kept") if isinstance(layer, dict) else None
        if isinstance(stay, list) and isinstance(layer.get("name"), str) and all(type(i) is int for i in stay):
            found[layer["name"]] = tuple(stay)
    return found or None


def beside_of(dense: nn.Module, shape: tuple[int, ...] | None, widths: Mapping[str, Any], folder: Path) -> dict[str, Tensor]:
    """Return the buffers outside the state dict whose shape changes, cut from the dense model's."""
    shapes = resized(dense, widths)
    wanted = {name: shapes[name] for name in buffers_beside(dense) if name in shapes}
    kept = kept_in(folder) if wanted and shape is not None and _from_here(dense, folder) else None
    found = {} if kept is None or shape is None else cut(dense, shape, kept)
    missing = [name for name, sides in wanted.items() if name not in found or tuple(found[name].shape) != sides]
    if missing:
        raise CheckpointError(
            f"{folder} was written by an earlier version of prunekit, which did not keep {', '.join(missing)} (buffers with "
            "persistent=False whose shape has changed), and which of their values stay cannot be told: carry its recipe out again with "
            f"`prunekit apply {folder} --out NEW`"
        )
    return {name: found[name] for name in wanted}


def _from_here(dense: nn.Module, folder: Path) -> bool:
    """Return whether what a folder notes of its layers begins at the dense model, and not at one that was pruned before."""
    layers = channel_layers(dense)
    told = [layer for layer in read_result(folder).get("layers", ()) if isinstance(layer, dict)]
    return all(row.get("name") in layers and row.get("shape_before") == list(weight_of(dense, row["name"]).shape) for row in told)
