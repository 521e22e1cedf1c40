"""`Run`, `Measurement` of a run, and `Label` (name, tags, note); as rows of a table, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from prunekit.config.choices import RUN_KINDS
from prunekit.errors import StoreError
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments import stored_metric
from prunekit.experiments.identity import IDENTITY, installed, measurement_id, this_machine
from prunekit.formatting import count
from prunekit.notebook import card, table
from prunekit.tasks.classification import ACCURACY

KINDS = RUN_KINDS
QUALITY = ("accuracy", "quality")
"""What tells of a quality: that of a classifier, and those of other tasks."""

LONGEST_NAME = 60
LONGEST_TAG = 60
LONGEST_NOTE = 4000


def what_of(metric: str) -> str:
    """Return what the measurement of a metric is called in its id."""
    return metric if metric == ACCURACY.name else f"quality {metric}"


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Run:
    """What was made.

    Attributes
    ----------
    id : str
        As ``run_id`` says.
    kind : {"dense", "pruned", "recovered", "trained", "quantised", "imported"}
        What was done.
    title : str
        As people read it.
    model : dict
        Plain fields of the dense model's ``ModelId``.
    weights : str
        What tells the dense model from others.
    spec, recovery : dict or None
        Plain fields of the setting and of what was done afterwards.
    trained_on : str
        Which images decided the outcome.
    parent : str or None
        The run that it was made from.
    created : str
        Time, UTC.
    info : dict
        Plain values: counts (``params``, ``nonzero``, ``macs``, ``effective_macs``, ``sparsity``, ``prunable``), ``achieved``, the
        learning curve ``history``, the name of the weights' ``file`` where it was kept, ``sizes`` in bytes, the hash ``state`` of the
        weights themselves.
    identity : int
        How it was told from others (`prunekit.experiments.identity.IDENTITY`).
    """

    id: str
    kind: str
    title: str
    model: dict[str, Any]
    weights: str
    spec: dict[str, Any] | None = None
    recovery: dict[str, Any] | None = None
    trained_on: str = ""
    parent: str | None = None
    created: str = field(default_factory=now)
    info: dict[str, Any] = field(default_factory=dict)
    identity: int = IDENTITY

    @property
    def earlier(self) -> bool:
        """Whether an earlier version made it, and it cannot be vouched for what it was made of."""
        return self.identity < IDENTITY

    def _repr_html_(self) -> str:
        """Return it for a notebook."""
        names = {"params": "parameters", "nonzero": "not zero", "macs": "MACs", "effective_macs": "effective MACs"}
        rows = [("id", self.id[:12]), ("kind", self.kind), ("model", self.model.get("name")), ("made", self.created)]
        rows += [(title, count(self.info[name])) for name, title in names.items() if self.info.get(name) is not None]
        return card(self.title, table([], rows))


@dataclass(frozen=True)
class Label:
    """What people say of a run; it decides nothing.

    Parameters
    ----------
    run : str
        Its id.
    saved : bool
        Whether somebody asked for it to be kept; points of a sweep are not.
    tags : tuple of str
        Words to find it by: spaces at the ends are dropped, and so is what is there twice.
    note : str
        Free text.
    changed : str
        Time, UTC.
    name : str
        What people call it, in one line; "" for its title alone.

    Raises
    ------
    StoreError
        If the name, a tag or the note is too long.
    """

    run: str
    saved: bool = False
    tags: tuple[str, ...] = ()
    note: str = ""
    changed: str = field(default_factory=now)
    name: str = ""

    def __post_init__(self) -> None:
        """Bring every field into its one form."""
        if isinstance(self.tags, str):
            raise StoreError(f"tags must be several words, as in ('good', 'small'); got {self.tags!r}")
        tags = tuple(dict.fromkeys(" ".join(str(tag).split()) for tag in self.tags if str(tag).strip()))
        name = " ".join(self.name.split())
        if len(name) > LONGEST_NAME:
            raise StoreError(f"a name has at most {LONGEST_NAME} characters; this one has {len(name)}: say more in the note")
        if any(len(tag) > LONGEST_TAG for tag in tags):
            raise StoreError(f"a tag has at most {LONGEST_TAG} characters: say more in the note")
        if len(self.note) > LONGEST_NOTE:
            raise StoreError(f"a note has at most {LONGEST_NOTE:,} characters; this one has {len(self.note):,}")
        object.__setattr__(self, "saved", bool(self.saved))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "note", self.note.strip())

    @property
    def said(self) -> bool:
        """Whether anybody said anything."""
        return self.saved or bool(self.name or self.tags or self.note)


@dataclass(frozen=True)
class Measurement:
    """What was seen of a run.

    Attributes
    ----------
    id, run : str
        As ``measurement_id`` says, and of what.
    what : str
        ``"accuracy"`` (the quality of a classifier), ``"quality"`` (that of other tasks), ``"sensitivity"``, ``"latency"``,
        ``"latency report"`` (of the dense model and all that was timed beside it) or ``"predictions"``.
    data : dict
        Plain fields of the data's ``DataId``.
    data_hash, split : str
        Which images.
    n : int
        How many samples.
    runtime : str
        What ran the model.
    machine, versions : dict
        Where.
    value : dict
        Of a quality ``value``, ``low``, ``high``, ``n`` and, where they are known, ``chance`` and ``guesses``; of a latency its row
        without the samples.
    observations : bytes or None
        Of a quality: what was seen of each sample; of a share, as accuracy is, eight to a byte. Of predictions: classes and
        confidences, compressed.
    created : str
        Time, UTC.
    identity : int
        How it was told from others (`prunekit.experiments.identity.IDENTITY`).
    metric : dict or None
        Of a quality: the metric's name and how it is shown, and whose it is (`prunekit.experiments.stored_metric`).
    """

    id: str
    run: str
    data: dict[str, Any]
    data_hash: str
    split: str
    n: int
    value: dict[str, Any]
    observations: bytes | None = None
    what: str = "accuracy"
    runtime: str = "eager"
    machine: dict[str, str] = field(default_factory=lambda: dict(this_machine()))
    versions: dict[str, str] = field(default_factory=lambda: dict(installed()))
    created: str = field(default_factory=now)
    identity: int = IDENTITY
    metric: dict[str, Any] | None = None

    @classmethod
    def of(
        cls, run: str, found: Evaluation, data: dict[str, Any], data_hash: str, split: str, *, versions: dict[str, str] | None = None
    ) -> Measurement:
        """Build from a quality that was measured here and now, with these versions of packages (as ``installed`` says)."""
        by, metric = installed() if versions is None else versions, found.metric
        name = measurement_id(run, data_hash, split, found.n, what=what_of(metric.name), versions=by)
        told = {"chance": found.chance, "guesses": list(found.guesses) or None}
        value = {**found.to_dict(), **{key: each for key, each in told.items() if each is not None}}
        kept = stored_metric.described(metric, found.task, stored_metric.is_packed(found))
        what = QUALITY[not found.is_accuracy]
        seen = stored_metric.pack(found)
        return cls(name, run, data, data_hash, split, found.n, value, seen, what, versions=dict(by), metric=kept)

    @property
    def earlier(self) -> bool:
        """Whether an earlier version measured it, and it cannot be vouched for what it was measured on."""
        return self.identity < IDENTITY

    @property
    def evaluation(self) -> Evaluation:
        """The quality with what was seen of each sample, so that it can be compared in pairs.

        Raises
        ------
        StoreError
            If something else was measured.
        """
        if self.observations is None or self.metric is None or self.what not in QUALITY:
            raise StoreError(f"the measurement {self.id[:12]} is no quality but {self.what}: it has no samples to compare")
        return stored_metric.opened(self.metric, self.value, self.observations, self.n)


PLAIN = ("model", "spec", "recovery", "info", "data", "machine", "versions", "value", "tags", "metric")  # kept as JSON


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
    again = ", ".join(f"{name} = excluded.{name}" for name in ("value", "observations", "metric", "created", "identity"))
    insert(connection, "measurements", found, f"ON CONFLICT(id) DO UPDATE SET {again}")
