"""Reading an archive from a stranger: which entries are let in, each checked before a byte of it is used; nothing in it is run."""

from __future__ import annotations

import codecs
import hashlib
import io
import stat
import struct
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import yaml

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.experiments.archive.manifest import (
    BESIDE,
    CODE,
    EXPORTED,
    INT8,
    LIMITS,
    MANIFEST,
    MB,
    MOST_RATIO,
    ONNX,
    RECIPE,
    RESULT,
    SAMPLES,
    WEIGHTS,
    ArchiveError,
    Manifest,
    most_bytes,
)

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".th", ".ckpt", ".bin", ".joblib", ".dill", ".npy", ".npz")
MOST_ENTRIES = len(LIMITS) + 1
SMALL = 1 << 16
"""Bytes that are let in at any ratio."""


def checked(entries: Iterable[ZipInfo], archive_bytes: int) -> dict[str, ZipInfo]:
    """Return the entries of an archive by name, or refuse all of it."""
    found: dict[str, ZipInfo] = {}
    for entry in entries:
        if len(found) >= MOST_ENTRIES:
            raise ArchiveError(f"the archive has more than {MOST_ENTRIES} files, which no archive of prunekit has: it is not taken in")
        _check_name(entry)
        _check_kind(entry)
        _check_size(entry)
        if entry.filename.lower() in {name.lower() for name in found}:
            raise ArchiveError(f"the archive has {entry.filename} twice: it was made to do harm and is not taken in")
        found[entry.filename] = entry
    # entries that share their bytes are small in the file and large on the disk
    if sum(entry.compress_size for entry in found.values()) > archive_bytes:
        raise ArchiveError("the entries of the archive overlap, as in a zip bomb: it is not taken in")
    _check_whole(found)
    return found


def _check_name(entry: ZipInfo) -> None:
    """Refuse every name but those of an archive; the usual attacks by their own words."""
    name, shown = entry.orig_filename, repr(entry.orig_filename[:80])
    if name != entry.filename or any(mark in name for mark in ("/", "\\", ":", "\0")) or name in ("", ".", ".."):
        raise ArchiveError(f"the archive has an entry {shown}, whose name leads out of the archive: it is not taken in")
    if name not in LIMITS and name.lower().endswith(PICKLES):
        raise ArchiveError(f"the archive holds {shown}, a kind of file that can run code when it is opened: it is not taken in")
    if most_bytes(name) is None:
        raise ArchiveError(f"the archive holds {shown}, which is no file of an archive of prunekit: it is not taken in")


def _check_kind(entry: ZipInfo) -> None:
    """Refuse what is no plain file, or packed in another way than prunekit does."""
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir() or entry.external_attr & 0x10:
        raise ArchiveError(f"{entry.filename} in the archive is a link, a folder or a device and no plain file: it is not taken in")
    if entry.flag_bits & 0x1:
        raise ArchiveError(f"{entry.filename} in the archive is encrypted: export the run again")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ArchiveError(f"{entry.filename} in the archive is packed in a way that prunekit does not use: export the run again")


def _check_size(entry: ZipInfo) -> None:
    """Refuse what would become too large."""
    most = most_bytes(entry.filename) or 0
    if entry.file_size > most:
        raise ArchiveError(f"{entry.filename} in the archive claims {entry.file_size:,} bytes; at most {most:,} are taken in")
    if entry.file_size > SMALL and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
        raise ArchiveError(
            f"{entry.filename} in the archive would grow more than {MOST_RATIO}-fold when it is unpacked, as a zip bomb does: it is not "
            "taken in"
        )


def _check_whole(found: dict[str, ZipInfo]) -> None:
    """Raise unless everything is there that is needed."""
    missing = [name for name in (MANIFEST, RECIPE, RESULT) if name not in found]
    if (WEIGHTS in found) == (INT8 in found):
        missing.append(f"{WEIGHTS} (or {INT8}, one of them)")
    if missing:
        raise ArchiveError(f"the archive has no {' and no '.join(missing)}: choose a file that prunekit export wrote")
    code = [name for name in found if CODE.fullmatch(name) and name not in LIMITS]
    if len(code) > 1:
        raise ArchiveError(f"the archive holds more than one Python file beside load.py, {' and '.join(sorted(code))}: it is not taken in")


HEAD = 16
TENSORS = (WEIGHTS, BESIDE, SAMPLES)
MOST_LISTED = 256 * MB
"""Bytes of a ``model.pt2`` whose directory is looked at; larger ones are judged by their beginning."""


class Look:
    """Looks at a file block by block."""

    def __init__(self, name: str) -> None:
        self.name, self._head = name, b""
        self._text = None if name in (*TENSORS, ONNX, EXPORTED, INT8) else codecs.getincrementaldecoder("utf-8")()
        self._whole = io.BytesIO() if name == EXPORTED else None

    def at(self, block: bytes) -> None:
        """Look at the next block."""
        self._head += block[: HEAD - len(self._head)] if len(self._head) < HEAD else b""
        if self._whole is not None and self._whole.tell() <= MOST_LISTED:
            self._whole.write(block)
        if self._text is not None:
            self._read(block, last=False)

    def done(self, size: int) -> None:
        """Judge the whole file, of ``size`` bytes."""
        if self._text is not None:
            self._read(b"", last=True)
        elif self.name in TENSORS:
            length = int.from_bytes(self._head[:8], "little")
            self._need(self._head[8:9] == b"{" and length <= size - 8, "a safetensors file")
        elif self.name == EXPORTED:
            self._need(self._head[:4] == b"PK\x03\x04" and self._listed(), "a file of torch.export")
        else:
            self._need(self._head[:1] == b"\x08", "an ONNX file")  # its first field is the version of the format

    def _read(self, block: bytes, *, last: bool) -> None:
        """Read text; a pickle or a zip file is none."""
        try:
            text = self._text.decode(block, last) if self._text is not None else ""
        except UnicodeDecodeError:
            text = "\0"
        self._need("\0" not in text and self._head[:4] != b"PK\x03\x04", "text")

    def _listed(self) -> bool:
        """Return whether the directory of a ``model.pt2`` is that of torch.export, and not of a pickled module or a TorchScript program."""
        if self._whole is None or self._whole.tell() > MOST_LISTED:
            return True
        try:
            with ZipFile(self._whole) as inner:
                names = [name.partition("/")[2] for name in inner.namelist()]
        except (BadZipFile, ValueError, OSError):
            return False
        return "archive_format" in names and not any(name.endswith(".pkl") or name.startswith("code/") for name in names)

    def _need(self, good: bool, what: str) -> None:
        """Raise unless the file is what its name says."""
        if good:
            return
        pickled = self._head[:1] == b"\x80" or self._head[:4] == b"PK\x03\x04"
        found = "a pickle or an archive, which can run code when it is opened" if pickled else "something else"
        raise ArchiveError(f"{self.name} in the archive is not {what} but {found}: it is not taken in")


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
    hashed, look, read = hashlib.sha256(), Look(name), 0
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
