"""`Job`: one piece of work, as those who wait for it see it; how many run at a time, and how long finished ones are remembered."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Progress
from prunekit.experiments.job_rows import JobRow
from prunekit.experiments.store import RunStore

_LOG = logging.getLogger("prunekit.experiments.jobs")
Work = Callable[["Job"], Any]
TELLING, TELLING_S, AGREE = 0.05, 5.0, 2.0
"""Share of the work and seconds after which the time left can be told, and by how much the paces of two halves may differ then."""
MOST_TOLD = 64
"""Reports of progress that are remembered."""


class People:
    """Whoever waits for a page comes first: meanwhile a job of this process rests between two batches, nine tenths of the time at most.

    Python runs one thread at a time: beside a job of small batches a page would wait for its turn over and over.
    """

    def __init__(self) -> None:
        self._served, self._changed = 0, threading.Condition()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Have jobs rest."""
        with self._changed:
            self._served += 1
        try:
            yield
        finally:
            with self._changed:
                self._served -= 1
                self._changed.notify_all()

    def pause(self) -> Callable[[], None]:
        """Return what rests while somebody waits, for nine times as long as was worked since the last rest, and a second at most."""
        since = time.monotonic()

        def rest() -> None:
            nonlocal since
            if self._served:
                with self._changed:
                    self._changed.wait_for(lambda: not self._served, min(REST * (time.monotonic() - since), 1.0))
            since = time.monotonic()

        return rest


REST = 9.0
PEOPLE = People()
"""Those of this process."""


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
    _told: list[tuple[float, float]] = field(default_factory=list, repr=False)

    @property
    def left_s(self) -> float | None:
        """Seconds that are left if it goes on as it did lately; None before that can be told, and once it took longer than that.

        Parts of the work that take longer than others change the pace: while its two halves do not agree nothing is told.
        """
        told = list(self._told)
        if self.state != "running" or len(told) < 3:
            return None
        first, last = told[0], told[-1]
        middle = min(told[1:-1], key=lambda each: abs(each[0] - (first[0] + last[0]) / 2))
        early, late = _pace(first, middle), _pace(middle, last)
        if last[1] - first[1] < TELLING or last[0] - first[0] < TELLING_S or not 1 / AGREE <= late / max(early, 1e-12) <= AGREE:
            return None
        left = (1 - last[1]) / late - (time.monotonic() - last[0])
        return left if left > 0 else None

    @cached_property
    def progress(self) -> Progress:
        """What the work is given."""
        return Progress(self._tell, self.cancel, self.warn, pause=PEOPLE.pause())

    def _tell(self, fraction: float, text: str) -> None:
        """Note how far it is."""
        self.fraction, self.text = min(max(fraction, 0.0), 1.0), text
        # what was read from the store took no time, so the pace is counted from the first report on
        self._told.append((time.monotonic(), self.fraction))
        if len(self._told) > MOST_TOLD:
            self._told[:] = [*self._told[:-1:2], self._told[-1]]

    def add(self, item: Any) -> None:
        """Report a part of the result."""
        self.partial.append(item)

    def warn(self, text: str) -> None:
        """Report what a person should know beside the result."""
        self.warning = text


def _pace(begin: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the share of the work that was done in a second between two reports."""
    return (end[1] - begin[1]) / max(end[0] - begin[0], 1e-9)


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
