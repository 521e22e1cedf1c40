"""Writing a run as an archive that opens without prunekit."""

from __future__ import annotations

import threading
from os import PathLike

from prunekit.measure.forward import Progress
from prunekit.runs.archive.contents import Exported
from prunekit.runs.store import RunStore


def export_run(
    run: str,
    out: str | PathLike[str],
    store: RunStore | None = None,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Exported:
    """Write a run as one archive: weights, recipe, ONNX, torch.export, a program that loads it, and the measured figures.

    Every form of the model is opened in a fresh process that cannot import prunekit, and compared with the run on the same images. What
    does not give the same predictions is left out, and said.

    Parameters
    ----------
    run : str
        Its id, or the beginning of one.
    out : path
        The file to write; an archive that is there is replaced, as a whole and only at the end.
    store : RunStore, optional
        Where the run is kept; `prunekit.runs.store` when left out.
    progress : callable, optional
        Called as ``progress(fraction, text)``.
    cancel : threading.Event, optional
        Stops the work; nothing is left behind.

    Raises
    ------
    StoreError, RunGone
        If there is no such run, or what it was made of is gone.
    ArchiveError
        If it cannot be written, or no form of the model gives the predictions of the run.
    Cancelled
        If ``cancel`` was set.
    """
    raise NotImplementedError
