"""`RunStore`: what was made and what was seen of it, kept for good."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from prunekit.measure.accuracy import Accuracy
from prunekit.runs.database import BUSY_S, Database
from prunekit.runs.identity import measurement_id
from prunekit.runs.jobrows import JobRows
from prunekit.runs.records import Measurement, Run, now
from prunekit.runs.schema import MIGRATIONS, Migration

PLAIN = ("model", "spec", "recovery", "info", "data", "machine", "versions", "value")  # kept as JSON


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
            _put_run(connection, run)

    def get_run(self, name: str) -> Run | None:
        """Return a run by its id."""
        rows = self.database.read("SELECT * FROM runs WHERE id = ?", (name,))
        return _record(Run, rows[0]) if rows else None

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
        return [_record(Run, row) for row in self.database.read(sql, (*wanted.values(), limit))]

    def put_measurement(self, measurement: Measurement) -> None:
        """Keep a measurement of a run that is kept; measured again, it replaces the earlier one."""
        with self.database.write() as connection:
            _put_measurement(connection, measurement)

    def measurement(self, name: str) -> Measurement | None:
        """Return a measurement by its id."""
        rows = self.database.read("SELECT * FROM measurements WHERE id = ?", (name,))
        return _record(Measurement, rows[0]) if rows else None

    def measurements(self, run: str) -> list[Measurement]:
        """Return all that was seen of a run, the latest first."""
        rows = self.database.read("SELECT * FROM measurements WHERE run = ? ORDER BY created DESC, id", (run,))
        return [_record(Measurement, row) for row in rows]

    def accuracy(self, run: str, data_hash: str, split: str, images: int) -> Accuracy | None:
        """Return what was measured of a run on this machine with the installed packages, or None.

        Parameters
        ----------
        run, data_hash, split : str
            As for `measurement_id`.
        images : int
            How many images.
        """
        found = self.measurement(measurement_id(run, data_hash, split, images))
        return None if found is None else found.accuracy

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
                _put_run(connection, run)
            _put_measurement(connection, measurement)
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


def _values(record: Any) -> dict[str, Any]:
    """Return a record's columns."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: json.dumps(value) if name in PLAIN and value is not None else value for name, value in values.items()}


def _record(cls: Any, row: sqlite3.Row) -> Any:
    """Return a row as a record."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a row is no mapping: it iterates over its values)
    return cls(**{name: json.loads(value) if name in PLAIN and value is not None else value for name, value in values.items()})


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any], clash: str) -> None:
    """Insert one row."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) {clash}", tuple(values.values()))


def _put_run(connection: sqlite3.Connection, run: Run) -> None:
    """Insert a run, or add to what is known of it."""
    rows = connection.execute("SELECT info FROM runs WHERE id = ?", (run.id,)).fetchall()
    if not rows:
        _insert(connection, "runs", _values(run), "")
        return
    known = json.loads(rows[0]["info"])
    if any(known.get(key) != value for key, value in run.info.items()):
        connection.execute("UPDATE runs SET info = ? WHERE id = ?", (json.dumps({**known, **run.info}), run.id))


def _put_measurement(connection: sqlite3.Connection, measurement: Measurement) -> None:
    """Insert a measurement, or replace what was seen before."""
    values = _values(measurement)
    again = ", ".join(f"{name} = excluded.{name}" for name in ("value", "correct", "created"))
    _insert(connection, "measurements", values, f"ON CONFLICT(id) DO UPDATE SET {again}")
