"""`Board`: all jobs of a process: some run, the others wait, the latest results are kept."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from prunekit.errors import PrunekitError
from prunekit.jobs.job import Job
from prunekit.jobs.kinds import work_of
from prunekit.jobs.ledger import Ledger
from prunekit.jobs.settings import BEAT_S, MOST_FINISHED, workers
from prunekit.measure.forward import Cancelled
from prunekit.runs.identity import digest
from prunekit.runs.jobrows import JobRow
from prunekit.runs.store import RunStore

_LOG = logging.getLogger("prunekit.jobs")
Work = Callable[[Job], Any]


class Executor(Protocol):
    """Whatever carries out functions as ``concurrent.futures`` does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Carry out ``fn(*args)`` some time."""


class Board:
    """All jobs of this process, beside those of other processes that use the same store.

    Whoever asks for the same work gets the same job, and coming back finds its result. Work of a kind is a row of the store: when its
    process dies, the next one takes it up.

    Parameters
    ----------
    store : RunStore or None
        Where rows and results are kept; None keeps nothing.
    executor : Executor, optional
        Where the work is done; threads of this process when left out, as many as ``PRUNEKIT_JOBS`` says (1).
    beat_s : float
        Seconds between two looks at what other processes do.

    Attributes
    ----------
    warning : str
        Why nothing is kept, where that is so.
    """

    def __init__(self, store: RunStore | None, executor: Executor | None = None, *, beat_s: float = BEAT_S) -> None:
        self.store, self.warning, self._beat_s = store, "", beat_s
        self._own = None if executor is not None else ThreadPoolExecutor(workers(), thread_name_prefix="prunekit-job")
        self._executor: Executor = executor if executor is not None else self._own  # type: ignore[assignment]
        self._ledger = Ledger(store)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._futures: dict[Job, Future[Any]] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._closed, self._resumed = threading.Event(), False
        self._beating: threading.Thread | None = None

    def submit(self, kind: str, request: Mapping[str, Any], title: str, by: str) -> Job:
        """Start work that survives this process, or join the job that does the same or has done it.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        request : mapping
            Plain values that the kind understands.
        title : str
            As people read it.
        by : str
            Who asks.

        Raises
        ------
        PrunekitError
            If there is no such kind.
        """
        work = partial(work_of(kind), dict(request))
        return self._join(Job(key_of(kind, request), title, kind, dict(request)), work, by)

    def submit_local(self, key: str, title: str, work: Work, by: str) -> Job:
        """Start work that ends with this process, or join the job of the same key.

        Parameters
        ----------
        key, title : str
            Of the job.
        work : callable
            Gets the job, to report progress; what it returns is the result.
        by : str
            Who asks.
        """
        return self._join(Job(key, title), work, by)

    def get(self, key: str) -> Job | None:
        """Return the job of a key, if it is still known."""
        with self._lock:
            return self._jobs.get(key)

    def of(self, by: str) -> list[Job]:
        """Return the unfinished jobs that somebody waits for, in the order of asking."""
        return [job for job in self.all() if by in job.wanted_by and job.active]

    def all(self) -> list[Job]:
        """Return all known jobs, those of other processes included, in the order of asking."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.number)

    def ahead(self, key: str) -> int:
        """Return how many unfinished jobs of this process stand before a waiting one."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.state != "waiting" or job.elsewhere:
                return 0
            return sum(other.active and not other.elsewhere and other.number < job.number for other in self._jobs.values())

    def stop(self, key: str, by: str) -> None:
        """Take back one person's wish; the work stops once nobody wants it. What another process does is stopped there."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or not job.active:
                return
            job.wanted_by.discard(by)
            if job.wanted_by or job.elsewhere:
                return
            job.cancel.set()
            if job.state == "waiting":
                self._end(job, "cancelled")
                self._futures.pop(job, Future()).cancel()

    def drop(self, key: str) -> None:
        """Forget a finished job, so that it can be done again."""
        with self._lock:
            if key in self._jobs and not self._jobs[key].active:
                del self._jobs[key]

    def resume(self) -> None:
        """Take up what dead processes left behind, and go on doing so while this one lives."""
        self._resumed = True
        self._look()
        self._begin_beating()

    def close(self) -> None:
        """Stop at the next batch; what is not finished is left for whoever comes next."""
        self._closed.set()
        with self._lock:
            for job in self._jobs.values():
                job.cancel.set()
            for future in self._futures.values():
                future.cancel()
        if self._own is not None:
            self._own.shutdown(wait=True, cancel_futures=True)
        self._ledger.release()

    def _join(self, new: Job, work: Work, by: str) -> Job:
        """Start a job unless there is one that does the same; what has been told to stop is no longer joined."""
        with self._lock:
            job = self._jobs.get(new.key)
            dying = job is not None and job.active and job.cancel.is_set()
            if job is None or dying or job.state in ("failed", "cancelled"):
                job = self._jobs[new.key] = new
                job.number, job.store = next(self._numbers), self.store
                self._place(job, work)
            job.wanted_by.add(by)
            self._jobs.move_to_end(job.key)
            self._forget()
        if job.kind != "local":
            self._begin_beating()
        return job

    def _place(self, job: Job, work: Work) -> None:
        """Start a job here, unless another process does it."""
        job.owner, job.state = self._ledger.owner, "waiting"
        if job.kind != "local" and not self._ledger.claim(job):
            self._mirror(job, self._ledger.get(job.key))
            return
        job.elsewhere = False
        try:
            future = self._executor.submit(self._run, job, work)
        except RuntimeError as error:
            job.error = f"the work could not be started: {error}"
            self._end(job, "failed")
            return
        if job.active:
            self._futures[job] = future

    def _run(self, job: Job, work: Work) -> None:
        """Do the work and note how it ended."""
        if not self._begin(job):
            return
        state, error = "failed", ""
        try:
            job.result, state = work(job), "done"
        except Cancelled:
            state = "cancelled"
        except (PrunekitError, OSError) as refused:
            error = str(refused)
        except BaseException:
            _LOG.exception("job failed: %s", job.title)
            error = "an unexpected error stopped this work; the server's log has the details"
        with self._lock:
            job.error, job.fraction = error, 1.0 if state == "done" else job.fraction
            self._end(job, state)

    def _begin(self, job: Job) -> bool:
        """Note that a job runs; False where it is no longer wanted."""
        with self._lock:
            if job.cancel.is_set():
                if job.active:
                    self._end(job, "cancelled")
                return False
            job.state, job.started = "running", time.monotonic()
            self._note(job)
            return True

    def _end(self, job: Job, state: str) -> None:
        """Note how a job ended; what stops because the process ends is left for the next. The lock is held."""
        job.state = state
        self._futures.pop(job, None)
        if not (self._closed.is_set() and state == "cancelled"):
            self._note(job)

    def _note(self, job: Job) -> None:
        """Write a job's row, unless a later job has taken its place."""
        if job.kind != "local" and self._jobs.get(job.key) is job:
            self._ledger.note(job)

    def _forget(self) -> None:
        """Drop the oldest finished jobs beyond the bound; the lock is held."""
        finished = [key for key, job in self._jobs.items() if not job.active]
        for key in finished[: max(0, len(finished) - MOST_FINISHED)]:
            del self._jobs[key]

    def _begin_beating(self) -> None:
        """Start the thread that tells others that this process lives, and looks at what they do."""
        with self._lock:
            if self.store is None or self._beating is not None or self._closed.is_set():
                return
            self._beating = threading.Thread(target=self._beat, name="prunekit-beat", daemon=True)
            self._beating.start()

    def _beat(self) -> None:
        """Note progress and look around, again and again."""
        while not self._closed.wait(self._beat_s):
            try:
                self._tell()
                self._look()
            except Exception:
                _LOG.exception("the board of jobs could not be looked after")

    def _tell(self) -> None:
        """Write where the jobs of this process stand."""
        for job in self.all():
            with self._lock:
                if job.active and not job.elsewhere and not self._closed.is_set():
                    self._note(job)

    def _look(self) -> None:
        """Show what other processes do, and take up what they left behind."""
        for row in self._ledger.active():
            with self._lock:
                job = self._jobs.get(row.key)
                if job is not None and job.active and not job.elsewhere:
                    continue  # both do it: whoever is later finds the points of the other
                if self._ledger.others(row):
                    self._mirror(job or self._known(row), row)
                elif self._resumed or job is not None:
                    self._take_up(job or self._known(row))
        for job in self.all():
            if job.elsewhere and job.active:
                self._follow(job)

    def _known(self, row: JobRow) -> Job:
        """Return a job for a row that nobody here asked for."""
        job = self._jobs[row.key] = Job(row.key, row.title, row.kind, row.request, number=next(self._numbers), store=self.store)
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
            work = partial(work_of(job.kind), job.request)
        except PrunekitError as error:
            _LOG.warning("%s", error)  # a newer prunekit may know it: its row stays
            self._jobs.pop(job.key, None)
            return
        self._place(job, work)

    def _follow(self, job: Job) -> None:
        """See what has become of a job that another process did."""
        row = self._ledger.get(job.key)
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
    """Return what a job is called: the same for the same work."""
    return digest({"kind": kind, "request": dict(request)})
