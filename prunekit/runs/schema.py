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

MIGRATIONS: tuple[Migration, ...] = (FIRST, SECOND, THIRD)
"""Statements that lead from version i to i + 1. Never change one that was released: add another."""
