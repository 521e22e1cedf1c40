"""`Board`: all jobs of a process, beside those of other processes on the same store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from prunekit.errors import PrunekitError, StoreError
from prunekit.experiments.identity import digest
from prunekit.experiments.job_rows import JobRow, JobRows, alive, new_owner
from prunekit.experiments.jobs.job import Job, work_of
from prunekit.experiments.jobs.queue import Queue
from prunekit.experiments.store import RunStore
from prunekit.local_code.factories import code_of

BEAT_S = 5.0

_LOG = logging.getLogger("prunekit.experiments.jobs")
Answer = TypeVar("Answer")


class Board(Queue):
    """All jobs of this process, beside those of other processes that use the same store.

    Work of a kind is a row of the store: when its process dies, the next one submits it again, and finds the points that were finished.
    What another living process does is shown here, and not done twice.

    Parameters
    ----------
    store : RunStore or None
        Where rows and results are kept; None keeps nothing.
    executor : concurrent.futures.Executor, optional
        As for `Queue`.
    beat_s : float
        Seconds between two looks at what other processes do.

    Attributes
    ----------
    warning : str
        Why nothing is kept, where that is so.
    store_for : callable
        The store that a job works with, given the job and the board's own.
    """

    def __init__(self, store: RunStore | None, executor: Executor | None = None, *, beat_s: float = BEAT_S) -> None:
        super().__init__(executor)
        self.store, self.warning, self.owner = store, "", new_owner()
        self.store_for: Callable[[Job, RunStore], RunStore] = lambda _, store: store
        self._beat_s, self._resumed = beat_s, False
        self._beating: threading.Thread | None = None
        self._logged: set[str] = set()

    def submit(self, kind: str, request: Mapping[str, Any], title: str, by: str) -> Job:
        """Start work of one of `KINDS` that survives this process, or join the job that does the same or has done it."""
        return self._join(Job(key_of(kind, request), title, kind, dict(request), work=partial(work_of(kind), dict(request))), by)

    def resume(self) -> None:
        """Submit again what dead processes left behind, and go on doing so while this one lives."""
        self._resumed = True
        self._look()
        self._begin_beating()

    def close(self) -> None:
        """Stop at the next batch; what is not finished is left for whoever comes next."""
        super().close()
        self._ask(lambda rows: rows.release(self.owner), None)

    def _place(self, job: Job) -> None:
        """Have a job done: here, unless another process does it already."""
        job.owner, job.store = self.owner, None if self.store is None else self.store_for(job, self.store)
        if job.kind != "local" and not self._claim(job):
            self._mirror(job, self._ask(lambda rows: rows.get(job.key), None))
        else:
            super()._place(job)
        if job.kind != "local":
            self._begin_beating()

    def _ask(self, question: Callable[[JobRows], Answer], otherwise: Answer) -> Answer:
        """Ask the table of jobs; a store that fails costs the resuming, never the work: the log has it, once for each reason."""
        if self.store is None:
            return otherwise
        try:
            return question(self.store.jobs)
        except StoreError as error:
            if str(error) not in self._logged:
                self._logged.add(str(error))
                _LOG.warning("%s", error)
            return otherwise

    def _claim(self, job: Job) -> bool:
        """Enter a job as ours; False where a process that lives has it already."""
        if self.store is None:
            return True
        try:
            there = self.store.jobs.get(job.key)
            if there is not None and there.active and self._others(there):
                return False
            return self.store.jobs.take(job, there)
        except StoreError as error:
            job.warn(f"{error}. The work goes on, and is not taken up again after a restart")
            return True

    def _note(self, job: Job) -> None:
        """Write a job's row, unless a later job has taken its place, or it stops because the process ends: then the next goes on."""
        leaving = self._closed.is_set() and job.state == "cancelled"
        if not leaving and job.kind != "local" and self._jobs.get(job.key) is job:
            job.heartbeat = time.time()
            self._ask(lambda rows: rows.note(job), None)

    def _others(self, row: JobRow) -> bool:
        """Whether a row is the work of another board that lives."""
        return row.owner != self.owner and alive(row.owner, row.heartbeat)

    def _begin_beating(self) -> None:
        """Start the thread that tells others that this process lives, and looks at what they do."""
        with self._lock:
            if self.store is None or self._beating is not None or self._closed.is_set():
                return
            self._beating = threading.Thread(target=self._beat, name="prunekit-beat", daemon=True)
            self._beating.start()

    def _beat(self) -> None:
        """Note where our jobs stand and look around, again and again."""
        while not self._closed.wait(self._beat_s):
            try:
                for job in self.all():
                    with self._lock:
                        if job.active and not job.elsewhere and not self._closed.is_set():
                            self._note(job)
                self._look()
            except Exception:
                _LOG.exception("the board of jobs could not be looked after")

    def _look(self) -> None:
        """Show what other processes do, and submit again what they left behind."""
        for row in self._ask(lambda rows: [there for there in rows.active() if there.owner != self.owner], list[JobRow]()):
            with self._lock:
                job = self._jobs.get(row.key)
                if job is not None and not job.elsewhere:
                    if job.active or job.state == "done":
                        continue  # both do it, or it is here already: whoever is later finds the points of the other
                    job = None
                if self._others(row):
                    self._mirror(job or self._known(row), row)
                elif self._resumed or job is not None:
                    self._take_up(job or self._known(row))
        for job in self.all():
            if job.elsewhere and job.active:
                self._follow(job)

    def _known(self, row: JobRow) -> Job:
        """Return a job for a row that nobody here asked for."""
        job = self._jobs[row.key] = Job(row.key, row.title, row.kind, row.request, number=next(self._numbers))
        return job

    @staticmethod
    def _mirror(job: Job, row: JobRow | None) -> None:
        """Show a job as another process tells of it."""
        job.elsewhere = True
        if row is not None:
            job.state, job.fraction, job.text, job.owner = row.state, row.fraction, row.text, row.owner

    def _take_up(self, job: Job) -> None:
        """Do here what was left behind, or was finished elsewhere while somebody here waits: the points are read from the store."""
        try:
            job.work = partial(work_of(job.kind), job.request)
        except PrunekitError as error:
            _LOG.warning("%s", error)  # a newer prunekit may know it: its row stays
            self._jobs.pop(job.key, None)
            return
        self._place(job)

    def _follow(self, job: Job) -> None:
        """See what has become of a job that another process did."""
        row = self._ask(lambda rows: rows.get(job.key), None)
        with self._lock:
            if row is not None and row.active:
                return
            if not job.wanted_by:
                self._jobs.pop(job.key, None)
            elif row is not None and row.state == "failed":
                job.error, job.state = row.error, "failed"
            else:
                self._take_up(job)


def key_of(kind: str, request: Mapping[str, Any]) -> str:
    """Return what a job is called: the same for the same work, on the user's code as it is now."""
    code = sorted({code_of(name) for name in _names(request)} - {""})
    return digest({"kind": kind, "request": dict(request)} | ({"code": code} if code else {}))


def _names(plain: Any) -> Iterator[str]:
    """Yield the names of models and data in a request."""
    for key, value in plain.items():
        if key == "name" and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _names(value)
