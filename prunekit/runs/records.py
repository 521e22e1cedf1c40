"""`Run`, what was made, and `Measurement`, what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from prunekit.errors import StoreError
from prunekit.measure.accuracy import Accuracy
from prunekit.runs.identity import installed, measurement_id, this_machine

KINDS = ("dense", "pruned", "recovered", "trained", "quantised")


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
    kind : {"dense", "pruned", "recovered", "trained", "quantised"}
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
        learning curve ``history``, the name of the weights' ``file`` where it was kept.
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


@dataclass(frozen=True)
class Measurement:
    """What was seen of a run.

    Attributes
    ----------
    id, run : str
        As ``measurement_id`` says, and of what.
    what : str
        ``"accuracy"``, or whatever else is measured.
    data : dict
        Plain fields of the data's ``DataId``.
    data_hash, split : str
        Which images.
    images : int
        How many.
    runtime : str
        What ran the model.
    machine, versions : dict
        Where.
    value : dict
        ``value``, ``low``, ``high`` and ``n``.
    correct : bytes or None
        Of an accuracy: which samples were right, eight to a byte.
    created : str
        Time, UTC.
    """

    id: str
    run: str
    data: dict[str, Any]
    data_hash: str
    split: str
    images: int
    value: dict[str, float]
    correct: bytes | None = None
    what: str = "accuracy"
    runtime: str = "eager"
    machine: dict[str, str] = field(default_factory=lambda: dict(this_machine()))
    versions: dict[str, str] = field(default_factory=lambda: dict(installed()))
    created: str = field(default_factory=now)

    @classmethod
    def of(cls, run: str, accuracy: Accuracy, data: dict[str, Any], data_hash: str, split: str) -> Measurement:
        """Build from an accuracy that was measured here and now."""
        name = measurement_id(run, data_hash, split, accuracy.n)
        bits = np.packbits(accuracy.correct).tobytes()
        return cls(name, run, data, data_hash, split, accuracy.n, accuracy.to_dict(), bits)

    @property
    def accuracy(self) -> Accuracy:
        """The accuracy with which samples were right, so that it can be compared in pairs.

        Raises
        ------
        StoreError
            If something else was measured.
        """
        if self.correct is None:
            raise StoreError(f"the measurement {self.id[:12]} is no accuracy but a {self.what}: it has no samples to compare")
        return Accuracy.of(np.unpackbits(np.frombuffer(self.correct, dtype=np.uint8), count=self.images).astype(bool))
