"""`Gate`: work that runs beside other work, and work that has to be alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prunekit.evaluation.progress import Progress

LOOK_S = 0.2


class Gate:
    """Lets work in: any number at a time, or one that has to be alone. Whoever waits to be alone keeps later ones out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._asking = 0

    @contextmanager
    def enter(self, alone: bool, progress: Progress) -> Iterator[None]:
        """Wait until there is room, and hold it; `Cancelled` if the work is no longer wanted meanwhile."""
        with self._changed:
            self._asking += alone
            try:
                while self._alone or (self._inside if alone else self._asking):
                    self._changed.wait(LOOK_S)
                    progress.check()
            finally:
                self._asking -= alone
            self._inside += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False if alone else self._alone
                self._changed.notify_all()
