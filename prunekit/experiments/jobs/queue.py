"""`Queue`: the jobs of one process: some run, the others wait, what measures time runs alone, the latest results are kept."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, check_cancel
from prunekit.experiments.jobs.job import MOST_FINISHED, Job, workers

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


_LOG = logging.getLogger("prunekit.experiments.jobs")
Work = Callable[[Job], Any]


class Executor(Protocol):
    """Whatever carries out functions as ``concurrent.futures`` does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Carry out ``fn(*args)`` some time."""


class Queue:
    """The jobs of one process. Whoever asks for the same work gets the same job, and coming back finds its result.

    Parameters
    ----------
    executor : Executor, optional
        Where the work is done; threads of this process when left out, as many as ``PRUNEKIT_JOBS`` says (1).

    Attributes
    ----------
    shows : callable
        Whether a job may be seen by whoever asks now; every job unless somebody says otherwise.
    remembers : int
        So many finished jobs are remembered.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._own = None if executor is not None else ThreadPoolExecutor(workers(), thread_name_prefix="prunekit-job")
        self._executor: Executor = executor if executor is not None else self._own  # type: ignore[assignment]
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._futures: dict[Job, Future[Any]] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._closed = threading.Event()
        self._gate = Gate()
        self.shows: Callable[[Job], bool] = lambda _: True
        self.remembers = MOST_FINISHED

    def submit_local(self, key: str, title: str, work: Work, by: str, *, alone: bool = False) -> Job:
        """Start work that ends with this process, or join the job of the same key.

        Parameters
        ----------
        key, title : str
            Of the job.
        work : callable
            Gets the job, to report progress; what it returns is the result.
        by : str
            Who asks.
        alone : bool
            Have everything else wait meanwhile.
        """
        return self._join(Job(key, title, alone=alone), work, by)

    def get(self, key: str) -> Job | None:
        """Return the job of a key, if it is still known and may be seen."""
        with self._lock:
            job = self._jobs.get(key)
        return job if job is not None and self.shows(job) else None

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
                self._futures.pop(job, Future()).cancel()
                self._end(job, "cancelled")

    def drop(self, key: str) -> None:
        """Forget a finished job, so that it can be done again."""
        with self._lock:
            if key in self._jobs and not self._jobs[key].active:
                del self._jobs[key]

    def forget_all(self) -> None:
        """Stop everything at the next batch and forget it, finished jobs too; what another process does goes on there."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel.set()
                if job.active and not job.elsewhere:
                    self._futures.get(job, Future()).cancel()
                    self._end(job, "cancelled")
            self._jobs.clear()

    def close(self) -> None:
        """Stop at the next batch."""
        self._closed.set()
        with self._lock:
            for job in self._jobs.values():
                job.cancel.set()
            for job, future in list(self._futures.items()):
                if future.cancel():
                    self._end(job, "cancelled")
        if self._own is not None:
            self._own.shutdown(wait=True, cancel_futures=True)

    def _join(self, new: Job, work: Work, by: str) -> Job:
        """Start a job unless there is one that does the same; what has been told to stop is no longer joined."""
        with self._lock:
            job = self._jobs.get(new.key)
            dying = job is not None and job.active and job.cancel.is_set()
            if job is None or dying or job.state in ("failed", "cancelled"):
                job = self._jobs[new.key] = new
                job.number = next(self._numbers)
                self._place(job, work)
            job.wanted_by.add(by)
            self._jobs.move_to_end(job.key)
            self._forget()
        return job

    def _place(self, job: Job, work: Work) -> None:
        """Have a job done. The lock is held."""
        job.elsewhere, job.state = False, "waiting"
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
            with self._gate.enter(job.alone, job.cancel):
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
        """Note how a job ended. The lock is held."""
        job.state = state
        self._futures.pop(job, None)
        self._note(job)

    def _note(self, job: Job) -> None:
        """Hear where a job stands. The lock is held."""

    def _forget(self) -> None:
        """Drop the oldest finished jobs beyond the bound; the lock is held."""
        finished = [key for key, job in self._jobs.items() if not job.active]
        for key in finished[: max(0, len(finished) - self.remembers)]:
            del self._jobs[key]
