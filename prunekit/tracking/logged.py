"""`tracked`: a tracker around some work, which it cannot stop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunekit.tracking.tracker import LogTo, Tracker, open_tracker


class Logged:
    """A tracker as work uses it: it gets flat names and finite numbers, and its failures end no work.

    Parameters
    ----------
    inner : Tracker or None
        Nobody is told where there is none.
    warn : callable
        Told the first failure, after which the tracker is told nothing more.
    """

    def __init__(self, inner: Tracker | None, warn: Callable[[str], object]) -> None:
        self.inner, self.warn = inner, warn

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for; what has no value is left out, and a list is a text."""
        self._tell(lambda inner: inner.params({name: _plain(value) for name, value in flat(values).items() if value not in (None, ())}))

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Note what was measured; what is no finite number is left out."""
        numbers = {name: float(value) for name, value in flat(values).items() if isinstance(value, (int, float))}
        self._tell(lambda inner: inner.metrics({name: value for name, value in numbers.items() if math.isfinite(value)}, step))

    def artifact(self, path: Path) -> None:
        """Keep a file."""
        self._tell(lambda inner: inner.artifact(path))

    def end(self, failed: bool = False) -> None:
        """Close the run."""
        self._tell(lambda inner: inner.end(failed))

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        """Tell the tracker something."""
        if self.inner is None:
            return
        try:
            what(self.inner)
        except Exception as error:  # a tracker that is gone is no reason to lose what was computed
            self.inner = None
            self.warn(f"the tracker failed and is told nothing more: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values by one name each, as in ``spec/sparsity``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}/") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _plain(value: Any) -> Any:
    """Return a value that every tracker takes."""
    return (
        value
        if isinstance(value, (bool, int, float, str))
        else ", ".join(map(str, value))
        if isinstance(value, (list, tuple))
        else str(value)
    )


@contextmanager
def tracked(log_to: LogTo, name: str, warn: Callable[[str], object] = warnings.warn) -> Iterator[Logged]:
    """Have a tracker for some work.

    Parameters
    ----------
    log_to : Tracker, str or None
        A text is opened (`open_tracker`) and ended here, as failed where the work raises; a tracker is its owner's to end.
    name : str
        What the run is called.
    warn : callable, optional
        Told where the tracker fails; the work goes on.

    Raises
    ------
    PrunekitError
        If the tracker cannot be opened: before any work.
    """
    if isinstance(log_to, Logged):
        yield log_to
        return
    if not isinstance(log_to, str):
        yield Logged(log_to, warn)
        return
    logged = Logged(open_tracker(log_to, name), warn)
    try:
        yield logged
    except BaseException:
        logged.end(failed=True)
        raise
    logged.end()
