"""Reading an archive from a stranger: every entry is checked before a byte of it is used."""

from __future__ import annotations

from os import PathLike

from prunekit.runs.archive.contents import Manifest
from prunekit.spec import Recipe


def read_manifest(source: str | PathLike[str] | bytes) -> Manifest:
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
    raise NotImplementedError


def recipe_of(source: str | PathLike[str] | bytes) -> Recipe | None:
    """Return the recipe in an archive, checked as by `read_manifest`; None where the run was made without pruning.

    Raises
    ------
    ArchiveError, SpecError
        If the archive or its recipe is not valid.
    """
    raise NotImplementedError
