"""The seats of a class: what each browser asked for, which runs that led to, and the store of runs as one seat sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from prunekit.errors import StoreError
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import Label, Measurement, Run, now
from prunekit.experiments.run_list import ALL
from prunekit.experiments.store import RunStore

Note = Callable[[str, bool], object]


@dataclass(eq=False)
class Seat:
    """One browser."""

    asked: set[str] = field(default_factory=set)  # the keys of the jobs that it asked for
    labels: dict[str, Label] = field(default_factory=dict)  # what it says of runs; nobody else reads it


class Room:
    """All seats of this server, in memory: they end with it, as the runs of a class do.

    ``turn``: which class it is: one more after every reset; ``teachers``: the seats that showed the teacher's key.
    """

    def __init__(self) -> None:
        self.turn, self.teachers = 1, set[str]()
        self._seats: dict[str, Seat] = {}
        self._made: dict[str, dict[str, bool]] = {}
        self._lock = threading.Lock()

    def seat(self, token: str) -> Seat:
        """Return a browser's seat."""
        with self._lock:
            return self._seats.setdefault(token, Seat())

    @property
    def taken(self) -> int:
        """How many seats have asked for something."""
        with self._lock:
            return sum(bool(seat.asked) for seat in self._seats.values())

    @property
    def runs(self) -> int:
        """How many runs the wishes of all seats led to."""
        with self._lock:
            return len(set().union(*self._made.values()))

    def store_for(self, job: Job, store: RunStore) -> RunStore:
        """Return the store that a job works with: which runs it led to is noted, for those who asked for it."""
        made = self._made.setdefault(job.key, {})

        def note(run: str, saved: bool) -> None:
            with self._lock:
                made[run] = made.get(run, False) or saved

        return Noting(store, note)

    def runs_of(self, seat: Seat) -> dict[str, bool]:
        """Return the runs that a seat's wishes led to, and whether it saved them."""
        found: dict[str, bool] = {}
        with self._lock:
            for key in seat.asked:
                for run, saved in self._made.get(key, {}).items():
                    found[run] = found.get(run, False) or saved
        return found

    def restart(self) -> None:
        """Forget all seats but the teachers'; whoever compares `turn` sees that another class has begun."""
        with self._lock:
            self._seats, self._made = {}, {}
            self.turn += 1


class _Over(RunStore):
    """The same store, seen in another way."""

    def __init__(self, store: RunStore) -> None:
        self.path, self.database, self.jobs = store.path, store.database, store.jobs


class Noting(_Over):
    """A store that tells which runs are kept through it, or looked up by their id because they were kept before."""

    def __init__(self, store: RunStore, note: Note) -> None:
        super().__init__(store)
        self._note = note

    def put_run(self, run: Run) -> None:
        """Keep a run, and tell."""
        super().put_run(run)
        self._note(run.id, False)

    def get_run(self, name: str) -> Run | None:
        """Return a run, and tell of it where it is there."""
        run = super().get_run(name)
        if run is not None:
            self._note(run.id, False)
        return run

    def put_point(self, runs: Any, measurement: Measurement, place: tuple[str, int, float] | None = None) -> None:
        """Keep runs with a measurement, and tell."""
        super().put_point(runs, measurement, place)
        for run in runs:
            self._note(run.id, False)

    def relabel(self, run: str, **changes: Any) -> Label:
        """Say something of a run, and tell."""
        label = super().relabel(run, **changes)
        self._note(run, bool(changes.get("saved")))
        return label


class View(_Over):
    """The store as one seat sees it: lists hold what it made, and what its address names; labels are its own.

    A run by its whole id, and every measurement, is read as ever: what somebody else measured need not be measured again.
    """

    def __init__(self, store: RunStore, room: Room, seat: Seat, named: Iterable[str] = ()) -> None:
        super().__init__(store)
        self._room, self._seat, self._named = room, seat, tuple(name for name in named if name)

    def runs(self, *, kind: str | None = None, weights: str | None = None, parent: str | None = None, limit: int = 1000) -> list[Run]:
        """Return the seat's runs and the dense models that they were made from, the latest first."""
        every = {run.id: run for run in super().runs(limit=ALL)}
        mine = set(self._room.runs_of(self._seat)) | {name for name in every if name.startswith(self._named)}
        mine |= {run.parent for name in mine if (run := every.get(name)) is not None and run.parent is not None}
        wanted = (("kind", kind), ("weights", weights), ("parent", parent))
        fits = [run for run in every.values() if run.id in mine and all(v is None or getattr(run, f) == v for f, v in wanted)]
        return fits[:limit]

    def find(self, text: str) -> Run:
        """Return a run by the beginning of its id; no other run is named where there is none."""
        try:
            return super().find(text)
        except StoreError:
            raise StoreError(f"there is no run {str(text).strip()[:64]} in this class") from None

    def label(self, run: str) -> Label:
        """Return what this seat says of a run."""
        saved = self._room.runs_of(self._seat).get(run, False)
        return self._seat.labels.get(run) or Label(run, saved)

    def labels(self) -> dict[str, Label]:
        """Return what this seat says of its runs."""
        saved = {run: Label(run, True) for run, said in self._room.runs_of(self._seat).items() if said}
        return {**saved, **self._seat.labels}

    def relabel(self, run: str, **changes: Any) -> Label:
        """Change what this seat says of a run."""
        label = replace(self.label(run), **changes, changed=now())
        self._seat.labels[run] = label
        return label
