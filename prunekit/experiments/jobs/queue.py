"""`Queue`: the jobs of one process on an executor: some run, the others wait, what measures time runs alone."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments.jobs.job import Job, Work, workers

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

    @contextmanager
    def apart(self, progress: Progress) -> Iterator[None]:
        """Be alone for a while, from within work that shares."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
        try:
            with self.enter(True, progress):
                yield
        finally:
            with self._changed:
                while self._alone:
                    self._changed.wait(LOOK_S)
                self._inside += 1


MOST_FINISHED = 64

_LOG = logging.getLogger("prunekit.experiments.jobs")


class Queue:
    """The jobs of one process. Whoever asks for the same work gets the same job, and coming back finds its result.

    ``shows``: whether a job may be seen by whoever asks now; every job unless somebody says otherwise; ``remembers``: so many finished jobs
    are remembered.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._own = None if executor is not None else ThreadPoolExecutor(workers(), thread_name_prefix="prunekit-job")
        self._executor = executor or self._own
        self._jobs: dict[str, Job] = {}
        self._lock, self._closed, self._numbers = threading.RLock(), threading.Event(), itertools.count(1)
        self._gate, self.remembers = Gate(), MOST_FINISHED
        self.shows: Callable[[Job], bool] = lambda _: True

    def submit_local(self, key: str, title: str, work: Work, by: str, *, alone: bool = False) -> Job:
        """Start work that ends with this process, or join the job of the same key; everything else waits for it where it is ``alone``."""
        return self._join(Job(key, title, work=work, alone=alone), by)

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

    def ahead(self, key: str) -> list[Job]:
        """Return the unfinished jobs of this process that stand before a waiting one, in the order of asking."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.state != "waiting" or job.elsewhere:
                return []
            return [other for other in self.all() if other.active and not other.elsewhere and other.number < job.number]

    def stop(self, key: str, by: str) -> None:
        """Take back one person's wish; the work stops once nobody wants it. What another process does is stopped there."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.active:
                job.wanted_by.discard(by)
                if not job.wanted_by and not job.elsewhere:
                    self._cancel(job, at_once=job.state == "waiting")

    def drop(self, key: str) -> None:
        """Forget a finished job, so that it can be done again."""
        with self._lock:
            if key in self._jobs and not self._jobs[key].active:
                del self._jobs[key]

    def forget_all(self) -> None:
        """Stop everything at the next batch and forget it, finished jobs too; what another process does goes on there."""
        with self._lock:
            for job in self._jobs.values():
                self._cancel(job, at_once=job.active and not job.elsewhere)
            self._jobs.clear()

    def close(self) -> None:
        """Stop at the next batch."""
        self._closed.set()
        with self._lock:
            for job in self._jobs.values():
                self._cancel(job, at_once=job.future is not None and job.future.cancel())
        if self._own is not None:
            self._own.shutdown(wait=True, cancel_futures=True)

    # `_join`, `_place`, `_cancel`, `_end` and `_note` are called with the lock held

    def _join(self, new: Job, by: str) -> Job:
        """Start a job unless there is one that does the same; what has been told to stop is no longer joined."""
        with self._lock:
            job = self._jobs.pop(new.key, None)
            if job is None or (job.active and job.cancel.is_set()) or job.state in ("failed", "cancelled"):
                job, new.number = new, next(self._numbers)
            self._jobs[new.key] = job  # at the end: of finished jobs the first ones are forgotten
            if job is new:
                self._place(job)
            job.wanted_by.add(by)
            finished = [key for key, known in self._jobs.items() if not known.active]
            for key in finished[: max(0, len(finished) - self.remembers)]:
                del self._jobs[key]
        return job

    def _place(self, job: Job) -> None:
        """Have a job done."""
        job.elsewhere, job.state = False, "waiting"
        try:
            assert self._executor is not None
            future = self._executor.submit(self._run, job)
            job.future = future if job.active else None
        except RuntimeError as error:
            job.error = f"the work could not be started: {error}"
            self._end(job, "failed")

    def _run(self, job: Job) -> None:
        """Do the work and note how it ended."""
        with self._lock:
            work, job.work = job.work, None  # it holds models
            if job.cancel.is_set() or work is None:
                if job.active:
                    self._end(job, "cancelled")
                return
            job.state = "running"
            self._note(job)
        state, error = "failed", ""
        try:
            job.apart = partial(self._gate.apart, job.progress)
            with self._gate.enter(job.alone, job.progress):
                job.result, state = work(job), "done"
        except Cancelled:
            state = "cancelled"
        except (PrunekitError, OSError) as refused:  # the screen calls fields otherwise than a flag does
            error = refused.marked if isinstance(refused, PrunekitError) else str(refused)
        except BaseException:
            _LOG.exception("job failed: %s", job.title)
            error = "an unexpected error stopped this work; the server's log has the details"
        with self._lock:
            job.error, job.fraction = error, 1.0 if state == "done" else job.fraction
            self._end(job, state)

    def _cancel(self, job: Job, *, at_once: bool) -> None:
        """Tell a job to stop at its next batch, or count it as stopped."""
        job.cancel.set()
        if at_once:
            if job.future is not None:
                job.future.cancel()
            self._end(job, "cancelled")

    def _end(self, job: Job, state: str) -> None:
        """Note how a job ended."""
        job.state, job.future = state, None
        self._note(job)

    def _note(self, job: Job) -> None:
        """Hear where a job stands."""
