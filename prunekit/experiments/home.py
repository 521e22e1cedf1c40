"""The folder of the store: ``PRUNEKIT_HOME``, or a data folder of the user."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import platformdirs

from prunekit.experiments.store import RunStore

VARIABLE = "PRUNEKIT_HOME"
FILE = "runs.sqlite"

_STORES: dict[Path, RunStore] = {}
_LOCK = threading.Lock()


def home() -> Path:
    """Return the folder of everything that prunekit keeps; it need not exist yet."""
    value = os.environ.get(VARIABLE, "").strip()
    return (Path(value).expanduser() if value else Path(platformdirs.user_data_dir("prunekit", appauthor=False))).absolute()


def checkpoints() -> Path:
    """Return the folder of weights that were trained or uploaded here, each named by its content; it need not exist yet."""
    return home() / "checkpoints"


def weights_folder(run: str) -> Path:
    """Return where the weights of a run lie, if they were kept: a folder that `load_model` opens."""
    return home() / "models" / run


def store() -> RunStore:
    """Return the store of runs in `home`: one for the process, for all its threads.

    Raises
    ------
    StoreError
        If it cannot be opened; asked again, it is tried again.
    """
    path = home() / FILE
    with _LOCK:
        if path not in _STORES:
            _STORES[path] = RunStore(path)
        return _STORES[path]
