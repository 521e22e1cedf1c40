"""`Ledger`: the rows of one board's jobs, where there is a store; a store that fails costs the resuming, never the work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from prunekit.errors import StoreError
from prunekit.jobs.job import Job
from prunekit.jobs.owner import alive, new_owner
from prunekit.runs.jobrows import JobRow, JobRows
from prunekit.runs.store import RunStore

_LOG = logging.getLogger("prunekit.jobs")
Answer = TypeVar("Answer")


class Ledger:
    """The table of jobs as one board uses it.

    Parameters
    ----------
    store : RunStore or None
        None keeps no rows.

    Attributes
    ----------
    owner : str
        The name under which the board's work stands there.
    """

    def __init__(self, store: RunStore | None) -> None:
        self.owner = new_owner()
        self._rows = None if store is None else store.jobs
        self._said: set[str] = set()

    def claim(self, job: Job) -> bool:
        """Enter a job as ours; False where a process that lives has it already.

        Parameters
        ----------
        job : Job
            Gains a warning where the store does not take it.
        """
        try:
            return self._rows is None or self._claimed(self._rows, job)
        except StoreError as error:
            job.warn(f"{error}. The work goes on, and is not taken up again after a restart")
            return True

    def _claimed(self, rows: JobRows, job: Job) -> bool:
        """Take the row unless it is another's."""
        there = rows.get(job.key)
        if there is not None and there.active and self.others(there):
            return False
        return rows.take(self._row(job), there)

    def others(self, row: JobRow) -> bool:
        """Return whether a row is the work of another owner who lives."""
        return row.owner != self.owner and alive(row.owner, row.heartbeat)

    def note(self, job: Job) -> None:
        """Write down where a job stands."""
        self._try(lambda rows: rows.note(self._row(job)), None)

    def get(self, key: str) -> JobRow | None:
        """Return the row of a job."""
        return self._try(lambda rows: rows.get(key), None)

    def active(self) -> list[JobRow]:
        """Return all unfinished work that is not this board's."""
        nothing: list[JobRow] = []
        return [row for row in self._try(lambda rows: rows.active(), nothing) if row.owner != self.owner]

    def release(self) -> None:
        """Give up what is not finished."""
        self._try(lambda rows: rows.release(self.owner), None)

    def _try(self, question: Callable[[JobRows], Answer], otherwise: Answer) -> Answer:
        """Ask the table; where it fails, the log has it, once for each reason."""
        if self._rows is None:
            return otherwise
        try:
            return question(self._rows)
        except StoreError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _LOG.warning("%s", error)
            return otherwise

    def _row(self, job: Job) -> JobRow:
        """Return a job as a row."""
        now = time.time()
        told = (job.key, job.kind, job.request, job.title, job.state, job.fraction, job.text, job.error, job.warning)
        return JobRow(*told, self.owner, now, now)
