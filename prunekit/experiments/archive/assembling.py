"""The files of an archive, written into a private folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunekit.config.spec import PruneSpec, Recipe
from prunekit.errors import PrunekitError
from prunekit.experiments.archive import result_file
from prunekit.experiments.archive.architecture import Source, source_of
from prunekit.experiments.archive.gathering import Gathered
from prunekit.experiments.archive.manifest import INT8, LOADER, MANIFEST, README, RECIPE, RESULT, WEIGHTS, ArchiveError, Manifest
from prunekit.experiments.archive.program import program
from prunekit.experiments.archive.readme import readme
from prunekit.experiments.archive.samples import SHOWN, Samples, samples_of
from prunekit.experiments.archive.writer import described
from prunekit.experiments.load_run import Opened
from prunekit.experiments.store import RunStore
from prunekit.models.folder import is_folder, read_recipe, stored_architecture, write_folder
from prunekit.tasks.input_form import InputForm, noted

NOTHING = PruneSpec(sparsity=0.0)
"""The setting of what was not pruned."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """The files of an archive, but for those that torch's exporter makes.

    Attributes
    ----------
    folder : Path
        Where they lie.
    opened : Opened
        The run.
    gathered : Gathered
        What its forms are compared on.
    told : dict
        What ``result.json`` holds.
    source : Source or None
        What builds the architecture; None for a quantised run.
    architecture : str
        What the model is built from.
    """

    folder: Path
    opened: Opened
    gathered: Gathered
    told: dict[str, Any]
    source: Source | None
    architecture: str


def assemble(folder: Path, opened: Opened, gathered: Gathered, store: RunStore) -> Assembled:
    """Write weights, recipe, result, ``load.py`` and what it needs.

    Parameters
    ----------
    folder : Path
        Where to; it is not there yet.
    opened : Opened
        The run.
    gathered : Gathered
        What is known of it.
    store : RunStore
        Where its figures are kept.
    """
    told = result_file.document(opened, gathered.pixels, store)
    recipe = _recipe(opened)
    source, architecture = None, str((recipe.model or {}).get("name", ""))
    if opened.model is None:
        folder.mkdir()
        assert opened.file is not None
        shutil.copyfile(opened.file, folder / INT8)
        (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    else:
        first = gathered.inputs.args[0] if not isinstance(gathered.pixels.shape, InputForm) else None
        write_folder(folder, opened.model, recipe, samples=None if first is None else first[:SHOWN])
        _settle(folder / WEIGHTS)
        architecture = stored_architecture(folder)
        source = source_of(architecture, opened.model, gathered.classes)
        if source.code:
            (folder / source.code).write_bytes(source.text)
    (folder / RESULT).write_text(result_file.to_json(told), encoding="utf-8")
    samples = samples_of(opened, gathered, store)
    samples.write(folder)
    (folder / LOADER).write_text(program(opened.run.title, gathered.pixels, source, samples), encoding="utf-8")
    return Assembled(folder, opened, gathered, told, source, architecture)


def complete(made: Assembled, notes: Sequence[str]) -> None:
    """Write README and manifest, which describe all other files."""
    (made.folder / README).unlink(missing_ok=True)
    code = made.source.code if made.source is not None else ""
    sizes = {name: size for name, (_, size) in described(made.folder).items()}
    samples = Samples.read(made.folder)
    assert samples is not None
    text = readme(made.told, made.gathered, sizes, code, notes, samples=samples)
    (made.folder / README).write_text(text, encoding="utf-8")
    run = made.opened.run
    manifest = Manifest(
        run.id, run.kind, run.title[:500], run.weights, run.trained_on, made.architecture, code, tuple(made.gathered.pixels.shape),
        described(made.folder),
    )  # fmt: skip
    (made.folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _settle(path: Path) -> None:
    """Put the metadata of a safetensors file in order: it is written in a different one each time."""
    with path.open("rb") as stream:
        told = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        told["__metadata__"] = dict(sorted(told["__metadata__"].items()))
        head = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
        head += b" " * (-len(head) % 8)
        settled = path.with_name(f"{path.name}.part")
        with settled.open("wb") as sink:
            sink.write(len(head).to_bytes(8, "little") + head)
            shutil.copyfileobj(stream, sink)
    settled.replace(path)


def _recipe(opened: Opened) -> Recipe:
    """Return the recipe of a run: the one that was kept with its weights, else what the store says of it."""
    if opened.file is not None and is_folder(opened.file):
        return read_recipe(opened.file)
    run = opened.run
    try:
        spec = NOTHING if run.spec is None else PruneSpec.from_dict(run.spec)
        return Recipe(
            run.model,
            None if opened.data_id is None else opened.data_id.to_dict(),
            spec,
            run.recovery,
            None if opened.shape is None else noted(opened.shape),
        )
    except PrunekitError as error:
        raise ArchiveError(f"the setting of run {run.id[:12]} cannot be read: {error}") from error
