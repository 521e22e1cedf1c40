"""Taking an archive in as a run, without running anything that is in it."""

from __future__ import annotations

from os import PathLike

from prunekit.runs.records import Run
from prunekit.runs.store import RunStore


def import_archive(source: str | PathLike[str] | bytes, store: RunStore | None = None, *, factory: str | None = None) -> Run:
    """Keep the model of an archive as a run of its own.

    Nothing in the archive is executed: weights are tensors, the architecture is built from code that is here already.

    Parameters
    ----------
    source : path or bytes
        The archive.
    store : RunStore, optional
        Where to keep it; `prunekit.runs.store` when left out.
    factory : str, optional
        ``path/to/file.py:factory`` that builds the architecture, where that is neither a sample nor torchvision's. Without it a factory is
        looked for among what was registered or used here before.

    Returns
    -------
    Run
        Of the kind "imported", called by the content of the archive: taken in twice it is the same run. What the archive says was
        measured stands in ``info["told"]``.

    Raises
    ------
    ArchiveError
        If the archive is damaged, was tampered with, holds what it should not, or needs code that is not here.
    """
    raise NotImplementedError
