"""Which images something was measured on, and what a measurement of a run on them is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prunekit.config.ids import DataId, ModelId
from prunekit.evaluation.sweep import split_of
from prunekit.experiments.identity import data_hash, installed, measurement_id
from prunekit.experiments.loading import load
from prunekit.experiments.records import Run
from prunekit.runtimes.backends import RUNTIMES

INT8 = "model.int8.onnx"


@dataclass(frozen=True, eq=False)
class Images:
    """A whole part of some data.

    Attributes
    ----------
    data_id : DataId
        The data.
    split : str
        Which part.
    data : Data
        Loaded.
    part : Split
        The part itself.
    hashed : str
        Its fingerprint.
    """

    data_id: DataId
    split: str
    data: Any
    part: Any
    hashed: str

    @classmethod
    def of(cls, model_id: ModelId, data_id: DataId, split: str) -> Images:
        """Load them as a dense model wants them: its card decides on their size."""
        data = load(model_id, data_id)[1]
        part = split_of(data, split)
        return cls(data_id, split, data, part, data_hash(part))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.part)

    def name_of(self, run: Run, what: str = "accuracy") -> str:
        """Return what a measurement of a run on them, in its own runtime, is called."""
        return measurement_id(run.id, self.hashed, self.split, len(self), what=what, **how(run))


def how(run: Run) -> dict[str, Any]:
    """Return what runs a run, and in which versions, as a measurement names them."""
    versions = installed(str(run.model.get("name", "")))
    if run.info.get("file") != INT8:
        return {"runtime": "eager", "versions": versions}
    return {"runtime": "int8", "versions": {**versions, "runtime": RUNTIMES["int8"].version()}}
