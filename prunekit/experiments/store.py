"""`RunStore`: runs, measurements and labels, kept for good."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from prunekit.errors import StoreError
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.database import BUSY_S, MIGRATIONS, Database, Migration
from prunekit.experiments.identity import measurement_id
from prunekit.experiments.job_rows import JobRows
from prunekit.experiments.records import Label, Measurement, Run, insert, now, put_measurement, put_run, record_of, values_of, what_of
from prunekit.tasks.classification import ACCURACY

PREFIX = re.compile("[0-9a-f]{6,64}")
_SAID = ("saved", "tags", "note", "changed", "name")
RELABEL = "ON CONFLICT(run) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _SAID)


class Stored(NamedTuple):
    """A point of a sweep as it lies in the store."""

    position: int
    requested: float
    run: Run
    measurement: Measurement


class RunStore:
    """Runs, measurements, sweeps and jobs in one SQLite file, safe for threads and for several processes.

    Parameters
    ----------
    path : Path
        The file; made where it is missing.
    migrations : sequence of tuple of str, optional
        As for `Database`.
    busy_s : float
        How long to wait for another process that writes.

    Attributes
    ----------
    jobs : JobRows
        Work under way.

    Raises
    ------
    StoreError
        Here and from every method: the file cannot be read or written; the message says what to do.
    """

    def __init__(self, path: Path | str, migrations: Sequence[Migration] = MIGRATIONS, busy_s: float = BUSY_S) -> None:
        self.path = Path(path)
        self.database = Database(self.path, migrations, busy_s)
        self.jobs = JobRows(self.database)

    @property
    def read_only(self) -> bool:
        """Whether the store can be read but not written."""
        return self.database.read_only

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def put_run(self, run: Run) -> None:
        """Keep a run. One that is there already gains what its ``info`` did not say; nothing else of it changes."""
        with self.database.write() as connection:
            put_run(connection, run)

    def get_run(self, name: str) -> Run | None:
        """Return a run by its id."""
        rows = self.database.read("SELECT * FROM runs WHERE id = ?", (name,))
        return record_of(Run, rows[0]) if rows else None

    def runs(self, *, kind: str | None = None, weights: str | None = None, parent: str | None = None, limit: int = 1000) -> list[Run]:
        """Return runs, the latest first.

        Parameters
        ----------
        kind, weights, parent : str, optional
            Only those with this value.
        limit : int
            At most so many.
        """
        wanted = {name: value for name, value in (("kind", kind), ("weights", weights), ("parent", parent)) if value is not None}
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        sql = f"SELECT * FROM runs WHERE {where} ORDER BY created DESC, id LIMIT ?"
        return [record_of(Run, row) for row in self.database.read(sql, (*wanted.values(), limit))]

    def find(self, text: str) -> Run:
        """Return the run of an id, of the beginning of one, or of the name that somebody gave it.

        Parameters
        ----------
        text : str
            The whole id, or at least its first six digits, as a page or a table shows them; or its whole name.

        Raises
        ------
        StoreError
            If no run begins so, or several do; the message names what is near.
        """
        name = str(text).strip().rstrip("…").lower()
        run = self.get_run(name)
        if run is not None:
            return run
        called = self.database.read("SELECT runs.* FROM runs JOIN labels ON run = id WHERE name = ?", (" ".join(str(text).split()),))
        if len(called) == 1 and str(text).strip():
            return record_of(Run, called[0])  # type: ignore[no-any-return]
        if called and str(text).strip():
            raise StoreError(f"several runs are called {text!r}: {_named(called)}. Give the id of one")
        if not PREFIX.fullmatch(name):
            raise StoreError(
                f"{text!r} is no run: give its name, its id, or at least the first 6 digits of that; `prunekit runs` lists them"
            )
        rows = self.database.read("SELECT * FROM runs WHERE id >= ? AND id < ? ORDER BY created DESC, id", (name, name + "g"))
        if len(rows) == 1:
            return record_of(Run, rows[0])  # type: ignore[no-any-return]
        if rows:
            raise StoreError(f"several runs begin with {name}: {_named(rows)}. Give more digits")
        latest = self.database.read("SELECT * FROM runs ORDER BY created DESC, id LIMIT 3")
        raise StoreError(f"there is no run {name}" + (f"; the latest are {_named(latest)}" if latest else ": nothing is kept here yet"))

    def put_measurement(self, measurement: Measurement) -> None:
        """Keep a measurement of a run that is kept; measured again, it replaces the earlier one."""
        with self.database.write() as connection:
            put_measurement(connection, measurement)

    def measurement(self, name: str) -> Measurement | None:
        """Return a measurement by its id."""
        rows = self.database.read("SELECT * FROM measurements WHERE id = ?", (name,))
        return record_of(Measurement, rows[0]) if rows else None

    def measurements(self, run: str) -> list[Measurement]:
        """Return all that was seen of a run, the latest first."""
        rows = self.database.read("SELECT * FROM measurements WHERE run = ? ORDER BY created DESC, id", (run,))
        return [record_of(Measurement, row) for row in rows]

    def all_measurements(self, what: str | None = None) -> dict[str, list[Measurement]]:
        """Return what was seen of every run, by its id, the latest first.

        Parameters
        ----------
        what : str, optional
            Only such, as in `Measurement`.
        """
        sql = "SELECT * FROM measurements WHERE what = coalesce(?, what) ORDER BY created DESC, id"
        found: dict[str, list[Measurement]] = {}
        for row in self.database.read(sql, (what,)):
            found.setdefault(row["run"], []).append(record_of(Measurement, row))
        return found

    def stamp(self) -> tuple[int, str]:
        """Return what changes with every measurement: how many there are, and when the latest was kept."""
        ((count, created),) = self.database.read("SELECT count(*), max(created) FROM measurements", ())
        return int(count), str(created)

    def label(self, run: str) -> Label:
        """Return what people say of a run; an empty label where nobody has said anything."""
        rows = self.database.read("SELECT * FROM labels WHERE run = ?", (run,))
        return record_of(Label, rows[0]) if rows else Label(run)

    def labels(self) -> dict[str, Label]:
        """Return what people say, by run; those of which nobody has said anything are left out."""
        return {row["run"]: record_of(Label, row) for row in self.database.read("SELECT * FROM labels")}

    def relabel(self, run: str, **changes: Any) -> Label:
        """Change some of what people say of a run, and leave the rest as anybody else may have set it meanwhile.

        Parameters
        ----------
        run : str
            Its id.
        **changes
            ``saved``, ``name``, ``tags`` or ``note``.

        Returns
        -------
        Label
            As it is kept now.
        """
        with self.database.write() as connection:
            rows = connection.execute("SELECT * FROM labels WHERE run = ?", (run,)).fetchall()
            label = replace(record_of(Label, rows[0]) if rows else Label(run), **changes, changed=now())
            insert(connection, "labels", values_of(label), RELABEL)
        return label

    def quality(  # noqa: PLR0917 (as for `measurement_id`)
        self, run: str, data_hash: str, split: str, n: int, versions: Mapping[str, str] | None = None, metric: str = ACCURACY.name
    ) -> Evaluation | None:
        """Return what was measured of a run on this machine with the installed packages, or None.

        Parameters
        ----------
        run, data_hash, split : str
            As for `measurement_id`.
        n : int
            How many samples.
        versions : mapping, optional
            Of packages, as ``installed`` says of the model.
        metric : str
            Name of the metric.
        """
        found = self.measurement(measurement_id(run, data_hash, split, n, what=what_of(metric), versions=versions))
        return None if found is None or found.earlier else found.evaluation

    def put_sweep(self, name: str, request: Mapping[str, Any], weights: str) -> None:
        """Keep a sweep. Where the model under the same name has become another one, the points that belonged to it are let go."""
        if self.database.read("SELECT 1 FROM sweeps WHERE id = ? AND weights = ?", (name, weights)):
            return
        with self.database.write() as connection:
            connection.execute("DELETE FROM sweeps WHERE id = ? AND weights != ?", (name, weights))
            values = (name, json.dumps(request), weights, now())
            connection.execute("INSERT INTO sweeps VALUES (?, ?, ?, ?) ON CONFLICT(id) DO NOTHING", values)

    def put_point(self, runs: Sequence[Run], measurement: Measurement, place: tuple[str, int, float] | None = None) -> None:
        """Keep runs, a measurement of the last of them, and its place in a sweep: all together or nothing.

        Parameters
        ----------
        runs : sequence of Run
            A parent before what was made from it.
        measurement : Measurement
            Of one of them.
        place : tuple, optional
            The sweep, the position in it, and the sparsity that was asked for.
        """
        with self.database.write() as connection:
            for run in runs:
                put_run(connection, run)
            put_measurement(connection, measurement)
            if place is not None:
                connection.execute("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)", (*place, measurement.run, measurement.id))

    def link(self, place: tuple[str, int, float], run: str, measurement: str) -> None:
        """Note the place of a measurement in a sweep; nothing is written where it is noted already."""
        sql = "SELECT 1 FROM points WHERE sweep = ? AND position = ? AND requested = ? AND run = ? AND measurement = ?"
        values = (*place, run, measurement)
        if not self.database.read(sql, values):
            with self.database.write() as connection:
                connection.execute("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)", values)

    def trim(self, sweep: str, points: int) -> None:
        """Let go of what stands behind the last of so many points of a sweep; it was measured under another setting of the machine."""
        if self.database.read("SELECT 1 FROM points WHERE sweep = ? AND position >= ?", (sweep, points)):
            with self.database.write() as connection:
                connection.execute("DELETE FROM points WHERE sweep = ? AND position >= ?", (sweep, points))

    def points(self, sweep: str) -> list[Stored]:
        """Return the points of a sweep that are there, in order, the dense model first."""
        rows = self.database.read("SELECT * FROM points WHERE sweep = ? ORDER BY position", (sweep,))
        found = [(row["position"], row["requested"], self.get_run(row["run"]), self.measurement(row["measurement"])) for row in rows]
        return [Stored(place, requested, run, seen) for place, requested, run, seen in found if run is not None and seen is not None]

    def sweeps(self) -> dict[str, dict[str, Any]]:
        """Return the plain request of every sweep by its id, the latest first."""
        rows = self.database.read("SELECT id, request FROM sweeps ORDER BY created DESC, id")
        return {row["id"]: json.loads(row["request"]) for row in rows}

    def forget(self, run: str) -> None:
        """Remove a run and what was seen of it.

        Raises
        ------
        StoreError
            If other runs were made from it.
        """
        with self.database.write() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run,))


def _named(rows: Sequence[Any]) -> str:
    """Return rows of runs as people tell them apart."""
    return ", ".join(f"{row['id'][:12]} ({row['title']})" for row in rows[:5]) + (" ..." if len(rows) > 5 else "")
