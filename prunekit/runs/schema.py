"""The tables, and how a file of an older version becomes one of today."""

from __future__ import annotations

Migration = tuple[str, ...]

FIRST: Migration = (
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, model TEXT NOT NULL, weights TEXT NOT NULL,
        spec TEXT, recovery TEXT, trained_on TEXT NOT NULL, parent TEXT REFERENCES runs(id), created TEXT NOT NULL, info TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX runs_of ON runs(weights)",
    "CREATE INDEX runs_from ON runs(parent)",
    """CREATE TABLE measurements (
        id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, what TEXT NOT NULL, data TEXT NOT NULL,
        data_hash TEXT NOT NULL, split TEXT NOT NULL, images INTEGER NOT NULL, runtime TEXT NOT NULL, machine TEXT NOT NULL,
        versions TEXT NOT NULL, value TEXT NOT NULL, correct BLOB, created TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX measurements_of ON measurements(run)",
    "CREATE TABLE sweeps (id TEXT PRIMARY KEY, request TEXT NOT NULL, weights TEXT NOT NULL, created TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE points (
        sweep TEXT NOT NULL REFERENCES sweeps(id) ON DELETE CASCADE, position INTEGER NOT NULL, requested REAL NOT NULL,
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        measurement TEXT NOT NULL REFERENCES measurements(id) ON DELETE CASCADE, PRIMARY KEY (sweep, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX points_of_run ON points(run)",
    "CREATE INDEX points_of_measurement ON points(measurement)",
    """CREATE TABLE jobs (
        key TEXT PRIMARY KEY, kind TEXT NOT NULL, request TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL,
        fraction REAL NOT NULL, text TEXT NOT NULL, error TEXT NOT NULL, warning TEXT NOT NULL,
        owner TEXT NOT NULL, heartbeat REAL NOT NULL, created REAL NOT NULL
    ) WITHOUT ROWID""",
)

SECOND: Migration = (
    """CREATE TABLE labels (
        run TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE, saved INTEGER NOT NULL, tags TEXT NOT NULL, note TEXT NOT NULL,
        changed TEXT NOT NULL
    ) WITHOUT ROWID""",
)

MIGRATIONS: tuple[Migration, ...] = (FIRST, SECOND)
"""Statements that lead from version i to i + 1. Never change one that was released: add another."""
