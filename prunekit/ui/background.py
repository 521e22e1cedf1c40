"""Background work for the pages: one job at a time, with progress, partial results and Cancel.

A job is keyed by what it measures, so that whoever asks for the same setting gets the same job, and coming back finds the result.
Nothing here calls Streamlit except to hold the one board that everybody shares.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.measure import Cancelled

MOST_FINISHED = 64
_LOG = logging.getLogger("prunekit.ui")


@dataclass(eq=False)
class Job:
    """One piece of work. Read its fields; only the board and the work itself write them.

    Attributes
    ----------
    key, title : str
        What it measures, as a hash, and as people read it.
    state : {"waiting", "running", "done", "failed", "cancelled"}
        Where it stands.
    fraction, text : float, str
        Progress, 0 to 1, and in words.
    partial : list
        Results so far.
    result : Any
        What the work returned; None until it is done.
    error : str
        Why it failed, in words fit for the page.
    """

    key: str
    title: str
    state: str = "waiting"
    fraction: float = 0.0
    text: str = ""
    partial: list[Any] = field(default_factory=list)
    result: Any = None
    error: str = ""
    started: float = 0.0
    wanted_by: set[str] = field(default_factory=set)
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    def progress(self, fraction: float, text: str = "") -> None:
        """Report progress; raises `Cancelled` if the job is no longer wanted."""
        if self.cancel.is_set():
            raise Cancelled("stopped on request")
        self.fraction, self.text = min(max(fraction, 0.0), 1.0), text

    def add(self, item: Any) -> None:
        """Report a part of the result."""
        self.partial.append(item)


Work = Callable[[Job], Any]


class Board:
    """All jobs of the server: one runs, the others wait, the latest results are kept."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prunekit-job")

    def submit(self, key: str, title: str, work: Work, session: str) -> Job:
        """Start some work, or join the job that does the same or has done it.

        Parameters
        ----------
        key, title : str
            Of the job.
        work : callable
            Gets the job, to report progress; what it returns is the result.
        session : str
            Who asks.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.state in ("failed", "cancelled"):
                job = self._jobs[key] = Job(key, title)
                self._pool.submit(self._run, job, work)
            job.wanted_by.add(session)
            self._jobs.move_to_end(key)
            self._forget()
        return job

    def get(self, key: str) -> Job | None:
        """Return the job of a key, if it is still known."""
        with self._lock:
            return self._jobs.get(key)

    def of(self, session: str) -> list[Job]:
        """Return the jobs that somebody waits for, in the order of asking."""
        with self._lock:
            return [job for job in self._jobs.values() if session in job.wanted_by and job.active]

    def stop(self, key: str, session: str) -> None:
        """Take back one person's wish; the work stops once nobody wants it."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return
            job.wanted_by.discard(session)
            if not job.wanted_by:
                job.cancel.set()

    def drop(self, key: str) -> None:
        """Forget a finished job, so that it can be measured again."""
        with self._lock:
            if key in self._jobs and not self._jobs[key].active:
                del self._jobs[key]

    def _forget(self) -> None:
        """Drop the oldest finished jobs beyond the bound; the lock is held."""
        finished = [key for key, job in self._jobs.items() if not job.active]
        for key in finished[: max(0, len(finished) - MOST_FINISHED)]:
            del self._jobs[key]

    def _run(self, job: Job, work: Work) -> None:
        """Do the work in the pool's thread and note how it ended."""
        if job.cancel.is_set():
            job.state = "cancelled"
            return
        job.state, job.started = "running", time.monotonic()
        try:
            job.result = work(job)
            job.fraction, job.state = 1.0, "done"
        except Cancelled:
            job.state = "cancelled"
        except PrunekitError as error:
            job.error, job.state = str(error), "failed"
        except Exception:
            _LOG.exception("job failed: %s", job.title)
            job.error = "an unexpected error stopped this measurement; the server's log has the details"
            job.state = "failed"


@st.cache_resource
def board() -> Board:
    """Return the one board of this server."""
    return Board()
