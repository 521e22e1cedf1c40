"""The samples that a measurement is of, and the id of a run's measurement on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prunekit.config.ids import DataId, ModelId
from prunekit.evaluation.sweep import split_of
from prunekit.experiments.identity import data_hash, installed, measurement_id
from prunekit.experiments.records import Run, what_of
from prunekit.experiments.sources import load
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve

INT8 = "model.int8.onnx"


@dataclass(frozen=True, eq=False)
class Images:
    """A whole part of some data."""

    data_id: DataId
    split: str
    data: Any
    part: Any
    hashed: str
    task: Task  # what the model and the data are for

    @classmethod
    def of(cls, model_id: ModelId, data_id: DataId, split: str) -> Images:
        """Load them as a dense model wants them: its card decides on their size."""
        model, data = load(model_id, data_id)
        part = split_of(data, split)
        return cls(data_id, split, data, part, data_hash(part), resolve(model, data))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.part)

    def name_of(self, run: Run, what: str | None = None) -> str:
        """Return what a measurement of a run on them, in its own runtime, is called; of its quality where nothing else is named."""
        named = what_of(self.task.headline.name) if what is None else what
        return measurement_id(run.id, self.hashed, self.split, len(self), what=named, **how(run))


def how(run: Run) -> dict[str, Any]:
    """Return what runs a run, and in which versions, as a measurement names them."""
    versions = installed(str(run.model.get("name", "")))
    if run.info.get("file") != INT8:
        return {"runtime": "eager", "versions": versions}
    return {"runtime": "int8", "versions": {**versions, "runtime": RUNTIMES["int8"].version()}}
