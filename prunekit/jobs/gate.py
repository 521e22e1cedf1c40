"""Who may run beside whom: a measurement of time runs alone, everything else together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prunekit.measure.forward import check_cancel

LOOK_S = 0.2


class Gate:
    """Lets work in: any number at a time, or one that has to be alone. Whoever waits to be alone keeps later ones out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._asking = 0

    @contextmanager
    def enter(self, alone: bool, cancel: threading.Event) -> Iterator[None]:
        """Wait until there is room, and hold it.

        Parameters
        ----------
        alone : bool
            Whether nothing else may run meanwhile.
        cancel : threading.Event
            Ends the waiting.

        Raises
        ------
        Cancelled
            If ``cancel`` was set while waiting.
        """
        with self._changed:
            self._wait(alone, cancel)
            self._inside += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False if alone else self._alone
                self._changed.notify_all()

    def _wait(self, alone: bool, cancel: threading.Event) -> None:
        """Wait for room. The lock is held."""
        self._asking += alone
        try:
            while self._alone or (self._inside if alone else self._asking):
                self._changed.wait(LOOK_S)
                check_cancel(cancel)
        finally:
            self._asking -= alone
