"""Which entries of a zip file are let in: decided by what its directory says, before anything is unpacked."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from prunekit.runs.archive.contents import CODE, INT8, LIMITS, MANIFEST, MOST_RATIO, RECIPE, RESULT, WEIGHTS, ArchiveError, most_bytes

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".th", ".ckpt", ".bin", ".joblib", ".dill", ".npy", ".npz")
MOST_ENTRIES = len(LIMITS) + 1
SMALL = 1 << 16
"""Bytes that are let in at any ratio."""


def checked(entries: Iterable[ZipInfo], archive_bytes: int) -> dict[str, ZipInfo]:
    """Return the entries of an archive by name, or refuse all of it.

    Parameters
    ----------
    entries : iterable of ZipInfo
        As the directory at the end of the file lists them.
    archive_bytes : int
        Size of the file.

    Raises
    ------
    ArchiveError
        If a name is not one of an archive's or appears twice, an entry is a link, a folder, encrypted or packed in an unusual way, is
        too large for its name or for its packed size, or a needed one is missing.
    """
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
