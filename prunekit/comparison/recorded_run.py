"""The record of a run: a recipe alone, a folder that pruning wrote, or an archive; nothing in them is executed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from torch import Tensor

from prunekit.config.recipe import Recipe
from prunekit.errors import CheckpointError, SpecError
from prunekit.experiments.archive.reader import unpack
from prunekit.experiments.records import QUALITY
from prunekit.models.checkpoints import read_checkpoint
from prunekit.models.folder import RECIPE, WEIGHTS, is_folder, read_recipe, read_result
from prunekit.models.probe import Probe
from prunekit.models.saved_values import kept_in, metadata
from prunekit.models.state import digest_of
from prunekit.tasks.classification import ACCURACY

MOST_TEXT = 4 << 20  # bytes of a recipe


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recipe, and what was recorded beside it."""

    recipe: Recipe
    state: Mapping[str, Tensor] = field(default_factory=dict, repr=False)  # the weights that came out; empty for a recipe alone
    # layer -> outputs that stay, where channels were removed and it was noted
    kept: Mapping[str, tuple[int, ...]] | None = field(default=None, repr=False)
    accuracies: tuple[dict[str, Any], ...] = ()  # what was measured on test images in float32: ``value``, ``low``, ``high``, ``n``
    weights: str = ""  # what tells the dense model from others, where it is known
    beside: bool = False  # whether there is more than the recipe
    probe: Probe | None = None  # what the recorded model answered, where it was noted
    note: str = ""  # what a person should know; mostly ""


def recorded(path: str | PathLike[str]) -> Recorded:
    """Read what was recorded of a run."""
    place = Path(path).expanduser()
    if place.is_dir():
        if not is_folder(place):
            raise SpecError(f"{place} is no folder that prunekit wrote: it needs {WEIGHTS} and {RECIPE}")
        return _folder(place, _of_folder(read_result(place)))
    if not place.is_file():
        raise SpecError(f"there is no file or folder {place}: give a {RECIPE}, a folder of `prunekit prune --out`, or an exported archive")
    return _archive(place) if is_zipfile(place) else _alone(place)


def _alone(place: Path) -> Recorded:
    """Read a recipe."""
    with place.open("rb") as stream:
        text = stream.read(MOST_TEXT + 1)
    if len(text) > MOST_TEXT:
        raise SpecError(f"{place} is too long for a recipe: give a {RECIPE}, a folder or an archive")
    try:
        return Recorded(Recipe.from_yaml(text.decode("utf-8")))
    except UnicodeDecodeError:
        raise SpecError(f"{place} is no text: give a {RECIPE}, a folder of `prunekit prune --out`, or an exported archive") from None


def _archive(place: Path) -> Recorded:
    """Read an archive: all of it is checked, and what is needed unpacked into a private folder."""
    with tempfile.TemporaryDirectory(prefix="prunekit-apply-") as private:
        folder = Path(private)
        manifest = unpack(place, folder, (RECIPE, WEIGHTS, "result.json"))
        if not (folder / WEIGHTS).is_file():
            note = "The archive holds an int8 model, and a recipe ends before that: there is nothing to compare with."
            return Recorded(read_recipe(folder), weights=manifest.weights, note=note)
        return _folder(folder, _of_archive(read_result(folder)), manifest.weights)


def _folder(folder: Path, accuracies: tuple[dict[str, Any], ...], weights: str = "") -> Recorded:
    """Read the files of a folder, whose weights must be those that were saved."""
    recipe, state, told = read_recipe(folder), read_checkpoint(folder / WEIGHTS), metadata(folder).get("probe")
    probe = None if told is None else Probe.from_dict(told)
    known = {} if probe is None else probe.tensors
    changed = [name for name, tensor in state.items() if name in known and digest_of(tensor) != known[name]]
    if changed:
        raise CheckpointError(f"{folder / WEIGHTS} holds other values than those that were saved in {', '.join(changed[:4])}: get it again")
    return Recorded(recipe, state, kept_in(folder), accuracies, weights, beside=True, probe=probe)


def _of_folder(result: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the quality in what `prunekit prune` wrote."""
    after = result.get("after")
    if not isinstance(after, dict):
        return ()
    name, metrics = after.get("metric"), after.get("metrics")
    if after.get("accuracy") is None and isinstance(name, str) and isinstance(metrics, dict):
        return _sound([(name, metrics.get(name))])
    return _sound([(ACCURACY.name, after.get("accuracy"))])


def _of_archive(result: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the qualities on test samples in what an export wrote."""
    told = result.get("measurements")
    seen = [m for m in told if isinstance(m, dict)] if isinstance(told, list) else []
    good = [m for m in seen if m.get("what") in QUALITY and m.get("split") == "test" and m.get("runtime") == "eager"]
    named = [m["metric"].get("name") if isinstance(m.get("metric"), dict) else ACCURACY.name for m in good]
    return _sound(list(zip(named, (m.get("value") for m in good), strict=True)))


def _sound(told: list[tuple[Any, Any]]) -> tuple[dict[str, Any], ...]:
    """Return those that are qualities, of all but accuracy with the metric's name: a file may come from anybody."""
    names = ("value", "low", "high", "n")
    found = [(n, v) for n, v in told if isinstance(v, dict) and all(isinstance(v.get(name), (int, float)) for name in names)]
    return tuple({key: v[key] for key in names} | ({} if n == ACCURACY.name else {"metric": n}) for n, v in found)
