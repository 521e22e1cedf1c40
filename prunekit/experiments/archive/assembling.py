"""The files of an archive, written into a private folder, and the zip file of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.archive import result_file
from prunekit.experiments.archive.architecture import Source, source_of
from prunekit.experiments.archive.gathering import Gathered, Pixels
from prunekit.experiments.archive.manifest import (
    INT8,
    LOADER,
    MANIFEST,
    MB,
    MOST_RATIO,
    README,
    RECIPE,
    RESULT,
    WEIGHTS,
    ArchiveError,
    Manifest,
)
from prunekit.experiments.archive.program_templates import ACCURACY, ASK, FIRST, JUDGE, LOAD_INT8, LOAD_TORCH, NORMALISE, PREDICT, SHOW
from prunekit.experiments.archive.readme import readme
from prunekit.experiments.archive.samples import INPUTS, NESTED, SHOWN, Samples, samples_of
from prunekit.experiments.load_run import Opened
from prunekit.experiments.store import RunStore
from prunekit.models.drafts import draft as beside
from prunekit.models.folder import is_folder, read_recipe, stored_architecture, write_folder
from prunekit.tasks.input_form import InputForm, form_words, noted
from prunekit.tasks.stored_batch import flattened


def program(title: str, pixels: Pixels, source: Source | None, samples: Samples) -> str:
    """Return the text of ``load.py``; of a quantised model, which is its own graph, without ``source``."""
    kind, form = "int8" if source is None else "torch", "torch" if samples.nest is None else "nested"
    judged = samples.scores and samples.nest is None
    alone = "class scores [N, classes]" if samples.scores else "the output"
    gives = alone if not samples.path else f"what the network gives ({'class scores' if samples.scores else 'its first tensor'} at OUTPUT)"
    show = Template(SHOW[kind]).safe_substitute(first=FIRST[form])
    parts = {
        "title": _quoted(title),
        "constants": _constants(pixels, samples, source is None),
        "normalise": NORMALISE[kind] if pixels.image else "",
        "accuracy": ACCURACY[kind] if judged else "",
        "main": textwrap.indent(JUDGE + textwrap.indent(show, "    ") if judged else show, "    ").rstrip(),
        "samples": _taken(pixels, samples),
    }
    if source is None:
        return LOAD_INT8.substitute(parts, gives=alone)
    package = f", safetensors and {source.package}" if source.package else " and safetensors"
    parts |= {"predict": Template(PREDICT[form]).substitute(parts, gives=gives), "ask": ASK[form]}
    call = "        adapt(module, attributes)\n" if source.adapters else ""
    parts |= {"adapters": f"{source.adapters}\n\n" if source.adapters else "", "adapt": call}
    return LOAD_TORCH.substitute(parts, package=package, build=textwrap.indent("\n".join(source.lines), "    "))


def _taken(pixels: Pixels, samples: Samples) -> str:
    """Say what the network takes."""
    if samples.nest is None:
        return f"{'images' if len(pixels.shape) == 3 else 'samples'} [N, *INPUT_SHAPE], float32, normalised"
    return form_words(samples.inputs)


def _constants(pixels: Pixels, samples: Samples, int8: bool) -> str:
    """Return what is known of the input as lines of Python."""
    shape, nest = tuple(pixels.shape), samples.nest
    lines = [f"INPUT_SHAPE = {shape!r}  # of one sample" + (": channels, height, width" if len(shape) == 3 else "")] if nest is None else []
    lines.append(f"SAMPLES = {samples.inputs.samples}  # inputs in samples.safetensors")
    if int8:
        lines.append(f"INPUTS = {tuple(flattened(samples.inputs, NESTED)[0]) if nest is not None else (INPUTS,)!r}  # their names there")
    elif nest is not None:
        lines.append(f"NEST = {nest!r}  # by their names there")
    if pixels.image:
        lines.append(f"MEAN, STD = {pixels.mean!r}, {pixels.std!r}  # of each channel, for pixels in 0..1")
    where = "the class scores" if samples.scores else "the outputs in samples.safetensors"
    lines.append(f"OUTPUT = {samples.path!r}  # where {where} stand in what the network gives; '' for a tensor alone")
    lines.append(f"ALLOWED = {samples.allowed:g}  # difference of outputs by the largest one: other machines round otherwise")
    return "\n".join(lines)


def _quoted(title: str) -> str:
    """Return a title fit for a docstring: one line, nothing that ends it."""
    return " ".join(title.replace("\\", "/").replace('"', "'").split())[:200] + "."


PLAIN_FILE = 0o100644 << 16
OLDEST = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: when it was packed says nothing about what is in it."""


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a file to write beside the target, which takes its place when all went well and goes when it did not."""
    if target.exists() and not is_archive(target):
        raise ArchiveError(f"{target} exists and prunekit did not write it: name another file")
    try:
        with beside(target) as folder:
            part = folder / target.name
            yield part
            part.chmod(0o644)
            part.replace(target)
    except OSError as error:
        raise ArchiveError(f"cannot write {target}: {error.strerror or error}. Nothing half-written is left; free some space") from None


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive of prunekit, by its list of files alone."""
    try:
        with ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (BadZipFile, OSError, ValueError):
        return False


def described(folder: Path) -> dict[str, tuple[str, int]]:
    """Return sha256 and bytes of every file in a folder but the manifest."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            with path.open("rb") as stream:
                found[path.name] = (hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)
    return found


def pack(folder: Path, part: Path, progress: Progress = QUIET) -> None:
    """Write the files of a folder as a zip file.

    Weights that pruning has zeroed pack well; what packs so well that a reader would take it for a zip bomb is stored as it is.
    """
    ratios = _written(folder, part, (), progress)
    dense = [name for name, ratio in ratios.items() if ratio > MOST_RATIO / 2]
    if dense:
        _written(folder, part, dense, progress)


def _written(folder: Path, part: Path, stored: Collection[str], progress: Progress) -> Mapping[str, float]:
    """Write the zip file and return by how much each file became smaller."""
    with part.open("wb") as stream:
        with ZipFile(stream, "w") as archive:
            for path in sorted(folder.iterdir()):
                entry = ZipInfo(path.name, OLDEST)
                entry.external_attr, entry.create_system = PLAIN_FILE, 3
                entry.compress_type = ZIP_STORED if path.name in stored else ZIP_DEFLATED
                entry.file_size = path.stat().st_size
                _add(archive, entry, path, progress)
            sizes = {entry.filename: (entry.file_size, entry.compress_size) for entry in archive.infolist()}
        stream.flush()
        os.fsync(stream.fileno())
    return {name: size / max(packed, 1) for name, (size, packed) in sizes.items()}


def _add(archive: ZipFile, entry: ZipInfo, path: Path, progress: Progress) -> None:
    """Copy a file into the zip file."""
    with path.open("rb") as source, archive.open(entry, "w") as sink:
        while block := source.read(MB):
            progress.check()
            sink.write(block)


NOTHING = PruneSpec(sparsity=0.0)
"""The setting of what was not pruned."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """The files of an archive, but for those that torch's exporter makes."""

    folder: Path
    opened: Opened
    gathered: Gathered
    told: dict[str, Any]  # what ``result.json`` holds
    source: Source | None  # what builds the architecture; None for a quantised run
    architecture: str  # what the model is built from


def assemble(folder: Path, opened: Opened, gathered: Gathered, store: RunStore) -> Assembled:
    """Write weights, recipe, result, ``load.py`` and what it needs."""
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
