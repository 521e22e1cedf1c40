"""Reading an archive from a stranger: every entry is checked before a byte of it is used, and nothing in it is run."""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

import yaml

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import Recipe
from prunekit.experiments.archive import zip_entries
from prunekit.experiments.archive.manifest import LIMITS, MANIFEST, MB, RECIPE, ArchiveError, Manifest
from prunekit.experiments.archive.zip_entries import checked

Source = str | PathLike[str] | bytes

_DAMAGE = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, UnicodeError, ValueError, OverflowError)


def read_manifest(source: Source) -> Manifest:
    """Return what an archive says of itself, after every file in it was checked against it.

    Parameters
    ----------
    source : path or bytes
        The archive.

    Raises
    ------
    ArchiveError
        If it is no archive of prunekit, is damaged, was tampered with, or holds what it should not.
    """
    return unpack(source, None)


def recipe_of(source: Source) -> Recipe:
    """Return the recipe in an archive, checked as by `read_manifest`. Where nothing was pruned it removes nothing.

    Raises
    ------
    ArchiveError, SpecError
        If the archive or its recipe is not valid.
    """
    with tempfile.TemporaryDirectory(prefix="prunekit-recipe-") as private:
        unpack(source, Path(private), (RECIPE,))
        return recipe_in(Path(private))


def recipe_in(folder: Path) -> Recipe:
    """Return the recipe of an unpacked archive, its model and data checked too."""
    text = (folder / RECIPE).read_text(encoding="utf-8")
    try:
        # a few aliases of aliases make a text that fills the memory once it is written out, as in an error
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ArchiveError(f"{RECIPE} in the archive has aliases, which prunekit does not write: it is not taken in")
        recipe = Recipe.from_yaml(text)
    except (yaml.YAMLError, RecursionError):
        raise ArchiveError(f"{RECIPE} in the archive is not valid YAML: it was changed and is not taken in") from None
    for kind, plain in ((ModelId, recipe.model), (DataId, recipe.data)):
        if plain is not None:
            kind.from_dict(plain)
    return recipe


def unpack(source: Source, folder: Path | None, wanted: Collection[str] | None = None) -> Manifest:
    """Check an archive, all of it, and unpack what is wanted."""
    with _opened(source) as (archive, entries):
        manifest = Manifest.from_json(_manifest_text(archive, entries[MANIFEST]))
        _check_names(entries, manifest)
        for name, entry in entries.items():
            if name == MANIFEST:
                continue
            keep = folder is not None and (wanted is None or name in wanted)
            with (folder / name).open("wb") if folder is not None and keep else io.BytesIO() as sink:
                _copy(archive, entry, manifest, sink if keep else None)
    return manifest


@contextmanager
def _opened(source: Source) -> Iterator[tuple[ZipFile, dict[str, ZipInfo]]]:
    """Open an archive whose entries are all let in; whatever trips the reader is said in plain words."""
    name = "the archive" if isinstance(source, bytes) else Path(source).name
    try:
        stream: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else Path(source).expanduser().open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot read {source!s}: {error.strerror or error}") from None
    with stream:
        try:
            size = stream.seek(0, io.SEEK_END)
            with ZipFile(stream) as archive:
                yield archive, checked(archive.infolist(), size)
        except ArchiveError:
            raise
        except _DAMAGE as error:
            told = " ".join(str(error).split())[:120] or type(error).__name__
            raise ArchiveError(f"{name} is no zip file, is cut short or damaged ({told}): get it again from where it came from") from None


def _manifest_text(archive: ZipFile, entry: ZipInfo) -> str:
    """Return the text of the manifest; the directory has bounded its size."""
    with archive.open(entry) as stream:
        return stream.read(LIMITS[MANIFEST]).decode("utf-8")


def _check_names(entries: dict[str, ZipInfo], manifest: Manifest) -> None:
    """Raise unless the manifest lists what is there, and nothing else."""
    there, listed = set(entries) - {MANIFEST}, set(manifest.files)
    if there != listed:
        wrong = sorted(there ^ listed)
        raise ArchiveError(f"the archive does not hold what its {MANIFEST} lists ({', '.join(wrong)}): it was changed and is not taken in")
    if manifest.code and manifest.code not in there:
        raise ArchiveError(f"the archive has no {manifest.code}, which its {MANIFEST} names: it was changed and is not taken in")


def _copy(archive: ZipFile, entry: ZipInfo, manifest: Manifest, sink: BinaryIO | None) -> None:
    """Read an entry to its end, check what it is against the manifest and its name, and pass it on."""
    name, (digest, size) = entry.filename, manifest.files[entry.filename]
    hashed, look, read = hashlib.sha256(), zip_entries.Look(name), 0
    with archive.open(entry) as stream:
        while block := stream.read(MB):
            read += len(block)
            if read > size:
                break
            hashed.update(block)
            look.at(block)
            if sink is not None:
                sink.write(block)
    if read != size or hashed.hexdigest() != digest:
        raise ArchiveError(
            f"{name} is not the file that the archive's {MANIFEST} describes: it was changed or damaged, and is not taken in"
        )
    look.done(size)
