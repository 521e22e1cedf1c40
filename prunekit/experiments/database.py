"""One SQLite file: its tables and their migrations, opened with care, shared by threads and processes, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from prunekit.errors import StoreError

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

_BUILT_IN = "('digits', 'mnist', 'cifar10')"
_SAMPLES = "('digits_mlp', 'digits_cnn', 'mnist_lenet300', 'mnist_lenet5', 'cifar10_resnet20', 'cifar10_mobilenetv2')"
_ELSEWHERE = f"""EXISTS (SELECT 1 FROM measurements WHERE run = runs.id AND what = 'accuracy'
    AND json_extract(data, '$.name') {{}}IN {_BUILT_IN})"""

# Until here neither the modules that a model's file imports nor the inputs of data of one's own told runs and measurements apart. Those of
# prunekit's samples and of torchvision are their weights, and the built-in data were known by all their pixels: they are as good as new.
THIRD: Migration = (
    "ALTER TABLE runs ADD COLUMN identity INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE measurements ADD COLUMN identity INTEGER NOT NULL DEFAULT 1",
    f"""UPDATE runs SET identity = 2
        WHERE (json_extract(model, '$.name') IN {_SAMPLES} OR json_extract(model, '$.name') LIKE 'torchvision/%')
        AND (trained_on = '' OR {_ELSEWHERE.format("")} AND NOT {_ELSEWHERE.format("NOT ")})""",
    f"""UPDATE measurements SET identity = 2 WHERE run IN (SELECT id FROM runs WHERE identity = 2)
        AND (what = 'latency' OR json_extract(data, '$.name') IN {_BUILT_IN})""",
)

_OWN = "(SELECT count(*) FROM json_each(runs.spec, '$.overrides'))"

# Names that people give. And titles told a scope where layers had shares of their own, as a run is called today.
FOURTH: Migration = (
    "ALTER TABLE labels ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    f"""UPDATE runs SET title = replace(title, ', ' || json_extract(spec, '$.scope') || ', ',
        ', own shares of ' || {_OWN} || ' layer' || CASE {_OWN} WHEN 1 THEN '' ELSE 's' END || ', ')
        WHERE spec IS NOT NULL AND {_OWN} > 0""",
)

_ACCURACY = '{"name": "accuracy", "title": "Accuracy", "unit": "%", "better": "higher", "decimals": null, "bits": "correct"}'

# Until here the only quality was accuracy. Which samples were right stays as it lies there: eight to a byte.
FIFTH: Migration = (
    "ALTER TABLE measurements RENAME COLUMN images TO n",
    "ALTER TABLE measurements RENAME COLUMN correct TO observations",
    "ALTER TABLE measurements ADD COLUMN metric TEXT",
    f"UPDATE measurements SET metric = '{_ACCURACY}' WHERE what IN ('accuracy', 'sensitivity')",
)

MIGRATIONS: tuple[Migration, ...] = (FIRST, SECOND, THIRD, FOURTH, FIFTH)
"""Statements that lead from version i to i + 1. Never change one that was released: add another."""


BUSY_S = 10.0
MOVE = "set PRUNEKIT_HOME to another folder"


class Database:
    """A SQLite file for all threads of this process, beside other processes that use it too.

    Readers and one writer do not wait for each other (write-ahead log). What is committed survives the death of the process.

    ``read_only``: whether the file can be read but not written.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS, busy_s: float = BUSY_S) -> None:
        self.path, self.migrations, self.busy_s = path, migrations, busy_s
        self.read_only = False
        self._lock = threading.RLock()
        with self._plainly("opened"):
            self._make_folder()
            self._check_version()
            self._connection = self._opened()
        try:
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, self._plainly("read"):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose statements are committed together, or not at all."""
        with self._lock, self._plainly("written"):
            if self.read_only:
                raise StoreError(f"the store of runs {self.path} cannot be written, only read: {MOVE}, or make it writable")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # a full disk has rolled back already
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _make_folder(self) -> None:
        """Make the folder of the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {self.path.parent} cannot be made ({error.strerror}): {MOVE}") from error

    def _connect(self, query: str) -> sqlite3.Connection:
        """Open the file in one of SQLite's ways."""
        address = f"file:{quote(str(self.path))}?{query}"
        connection = sqlite3.connect(address, uri=True, timeout=self.busy_s, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    def _watching(self) -> sqlite3.Connection:
        """Open to read only. Without a log beside it nobody writes, and SQLite need make no files of its own, which it could not."""
        log = self.path.with_name(self.path.name + "-wal")
        return self._connect("mode=ro" if log.exists() else "immutable=1")

    def _check_version(self) -> None:
        """Refuse a file of a newer version before anything opens it for writing: so it stays as it is to the last byte."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return
        connection = self._watching()
        try:
            self._check(connection)
        finally:
            connection.close()

    def _check(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file, or raise where it is newer than this code."""
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > len(self.migrations):
            raise StoreError(
                f"the store of runs {self.path} was written by a newer prunekit (version {found} of its tables, this one knows "
                f"{len(self.migrations)}): update prunekit, or {MOVE}. The file was left as it is"
            )
        return found

    def _opened(self) -> sqlite3.Connection:
        """Open for reading and writing, or for reading where no more is allowed."""
        if self.path.exists() and not all(map(_writable, (self.path, self.path.parent))):
            self.read_only = True
            return self._watching()
        connection = self._connect("mode=rwc")
        try:
            self._log_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _log_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to a write-ahead log: SQLite does not have a process wait for another that opens a new file."""
        until = monotonic() + self.busy_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
                sleep(0.02)

    def _migrate(self) -> None:
        """Bring an older file up to date, in one transaction."""
        with self._plainly("opened"):
            behind = self._check(self._connection) < len(self.migrations)
        if behind and self.read_only:
            raise StoreError(f"the store of runs {self.path} is of an older prunekit and cannot be written, so not be renewed: {MOVE}")
        if not behind:
            return
        with self.write() as connection:
            # another process may have been faster
            for migration in self.migrations[self._check(connection) :]:
                for statement in migration:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(self.migrations)}")

    @contextmanager
    def _plainly(self, what: str) -> Iterator[None]:
        """Turn SQLite's errors into sentences that a person can act on."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(self._sentence(error, what)) from error

    def _sentence(self, error: sqlite3.Error, what: str) -> str:
        """Return what went wrong and what to do."""
        name = getattr(error, "sqlite_errorname", "") or ""
        which = f"the store of runs {self.path}"
        if name.startswith("SQLITE_FULL"):
            return f"{which} could not be {what}: the disk is full. Make room, or {MOVE}"
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return f"{which} could not be {what} ({error}): make the folder writable, or {MOVE}"
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return f"{which} is damaged ({error}): move it away, and a new one is begun, or {MOVE}"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return f"{which} could not be {what}: another process has held it for {self.busy_s:g} seconds. Try again"
        if name.startswith("SQLITE_CONSTRAINT"):
            return f"{which} refused what does not fit together ({error}): store the run before what belongs to it"
        return f"{which} could not be {what} ({error}): look at the disk, or {MOVE}"


def _writable(path: Path) -> bool:
    """Whether this process may write there, as the user that it acts for."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
