"""Records as rows of a table, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from prunekit.runs.records import Measurement, Run

PLAIN = ("model", "spec", "recovery", "info", "data", "machine", "versions", "value", "tags")  # kept as JSON


def values_of(record: Any) -> dict[str, Any]:
    """Return a record's columns."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: json.dumps(value) if name in PLAIN and value is not None else value for name, value in values.items()}


def record_of(cls: Any, row: sqlite3.Row) -> Any:
    """Return a row as a record."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a row is no mapping: it iterates over its values)
    return cls(**{name: json.loads(value) if name in PLAIN and value is not None else value for name, value in values.items()})


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any], clash: str) -> None:
    """Insert one row."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) {clash}", tuple(values.values()))


def put_run(connection: sqlite3.Connection, run: Run) -> None:
    """Insert a run, or add to what is known of it."""
    rows = connection.execute("SELECT info, identity FROM runs WHERE id = ?", (run.id,)).fetchall()
    if not rows:
        insert(connection, "runs", values_of(run), "")
        return
    known = json.loads(rows[0]["info"])
    if any(known.get(key) != value for key, value in run.info.items()):
        connection.execute("UPDATE runs SET info = ? WHERE id = ?", (json.dumps({**known, **run.info}), run.id))
    if rows[0]["identity"] < run.identity:  # made again, and now it is known of what
        connection.execute("UPDATE runs SET identity = ? WHERE id = ?", (run.identity, run.id))


def put_measurement(connection: sqlite3.Connection, measurement: Measurement) -> None:
    """Insert a measurement, or replace what was seen before."""
    found = values_of(measurement)
    again = ", ".join(f"{name} = excluded.{name}" for name in ("value", "correct", "created", "identity"))
    insert(connection, "measurements", found, f"ON CONFLICT(id) DO UPDATE SET {again}")
