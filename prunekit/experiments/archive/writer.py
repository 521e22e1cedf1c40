"""Writing the zip file: whole or not at all, and the same bytes for the same files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.archive.manifest import MANIFEST, MB, MOST_RATIO, ArchiveError
from prunekit.models.drafts import draft as beside

PLAIN_FILE = 0o100644 << 16
OLDEST = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: when it was packed says nothing about what is in it."""


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a file to write beside the target, which takes its place when all went well and goes when it did not.

    Raises
    ------
    ArchiveError
        If something else is in the way, or the folder cannot be written.
    """
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

    Parameters
    ----------
    folder : Path
        Of plain files.
    part : Path
        Where to; flushed to the disk, so that a full one is noticed here.
    progress : Progress, optional
        Looked at before each megabyte, whether to stop.
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
