"""Background work: progress, partial results, Cancel; taken up again when its process dies. Knows nothing of any screen."""

from __future__ import annotations

import logging
import threading

from prunekit.errors import StoreError
from prunekit.experiments.home import store
from prunekit.experiments.jobs.board import Board, key_of
from prunekit.experiments.jobs.job import KINDS, Job, kind

__all__ = ["KINDS", "Board", "Job", "board", "key_of", "kind"]

_BOARDS: list[Board] = []
_LOCK = threading.Lock()


def board() -> Board:
    """Return the one board of this process. Where the store cannot be opened it works without, and its ``warning`` says why."""
    with _LOCK:
        if not _BOARDS:
            try:
                _BOARDS.append(Board(store()))
            except StoreError as error:
                logging.getLogger("prunekit.experiments.jobs").warning("%s. Nothing is kept", error)
                _BOARDS.append(Board(None))
                _BOARDS[0].warning = f"{error}. Results are shown, and not kept"
        return _BOARDS[0]
