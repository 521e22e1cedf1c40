"""`Job`: one piece of work, as those who wait for it see it; how many run at a time, and how long finished ones are remembered."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Progress
from prunekit.experiments.job_rows import JobRow
from prunekit.experiments.store import RunStore

_LOG = logging.getLogger("prunekit.experiments.jobs")
Work = Callable[["Job"], Any]
TELLING = 0.01
"""Share of the work after which the time left can be told."""


@dataclass(eq=False)
class Job(JobRow):
    """One piece of work of this process. Read its fields; only the board and the work itself write them.

    Attributes
    ----------
    work : callable or None
        Gets the job and returns the result; gone once it has begun.
    alone : bool
        Whether nothing else may run in this process meanwhile: a measurement of time.
    number : int
        Place in the order of asking.
    partial, result : list, Any
        Results so far; what the work returned.
    elsewhere : bool
        Whether another process does it; of its results only the store knows.
    wanted_by : set of str
        Who waits for it.
    cancel : threading.Event
        Set to stop it.
    store : RunStore or None
        Where the work keeps its results.
    future : Future or None
        Of the executor, until it has ended.
    apart : callable
        A context in which nothing else runs in this process, for a part of the work that measures time.
    """

    work: Work | None = field(default=None, repr=False)
    alone: bool = False
    number: int = 0
    partial: list[Any] = field(default_factory=list)
    result: Any = None
    elsewhere: bool = False
    wanted_by: set[str] = field(default_factory=set)
    cancel: threading.Event = field(default_factory=threading.Event)
    store: RunStore | None = field(default=None, repr=False)
    future: Future[Any] | None = field(default=None, repr=False)
    apart: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False)
    _first: tuple[float, float] | None = field(default=None, repr=False)
    _last: tuple[float, float] | None = field(default=None, repr=False)

    @property
    def left_s(self) -> float | None:
        """Seconds that are left if it goes on as since its first progress; None before that can be told."""
        first, last = self._first, self._last
        if self.state != "running" or first is None or last is None or last[1] - first[1] < TELLING:
            return None
        seconds = (last[0] - first[0]) / (last[1] - first[1]) * (1 - last[1])
        return max(0.0, seconds - (time.monotonic() - last[0]))

    @cached_property
    def progress(self) -> Progress:
        """What the work is given."""
        return Progress(self._tell, self.cancel, self.warn)

    def _tell(self, fraction: float, text: str) -> None:
        """Note how far it is."""
        self.fraction, self.text = min(max(fraction, 0.0), 1.0), text
        # what was read from the store took no time, so the pace is counted from the first report on
        self._last = (time.monotonic(), self.fraction)
        self._first = self._first or self._last

    def add(self, item: Any) -> None:
        """Report a part of the result."""
        self.partial.append(item)

    def warn(self, text: str) -> None:
        """Report what a person should know beside the result."""
        self.warning = text


VARIABLE = "PRUNEKIT_JOBS"


def workers() -> int:
    """Return how many jobs run at a time: ``PRUNEKIT_JOBS``, or 1."""
    value = os.environ.get(VARIABLE, "").strip() or "1"
    if value.isdecimal() and int(value) >= 1:
        return int(value)
    _LOG.warning("%s must be a whole number of at least 1; got %r: one job runs at a time", VARIABLE, value)
    return 1


Kind = Callable[[dict[str, Any], Job], Any]

KINDS: dict[str, Kind] = {}
"""Name -> function that gets the plain request and its job (progress, partial results, cancel, store) and returns the result."""

MODULE = "prunekit.experiments.jobs.work"
"""Registers the kinds when it is imported."""


def kind(name: str) -> Callable[[Kind], Kind]:
    """Register a function as a kind of work, by the name that its rows in the store have for good."""

    def register(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return register


def work_of(name: str) -> Kind:
    """Return the function of a kind."""
    if name not in KINDS:
        importlib.import_module(MODULE)
    if name not in KINDS:
        raise PrunekitError(f"there is no work of the kind {name!r}: it is one of {', '.join(sorted(KINDS))}")
    return KINDS[name]
