"""Models and data of jobs, loaded afresh or lent by the server; which samples a measurement is of; where a run comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError, RunGone
from prunekit.evaluation.sweep import shape_of, split_of
from prunekit.experiments.identity import data_hash, earlier_weights_of, installed, measurement_id, run_id, trained_on, weights_of
from prunekit.experiments.records import QUALITY, Run, what_of
from prunekit.experiments.store import RunStore
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve

Loader = Callable[[ModelId, DataId | None], tuple[nn.Module, Any]]


def fresh(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Load a model and its data, where there are any; sizes and pixels come from the model's card."""
    model = load_model(model_id)
    return model, None if data_id is None else load_data(data_id, model=model)


_LOADER: list[Loader] = [fresh]


def load(model_id: ModelId, data_id: DataId | None) -> tuple[nn.Module, Any]:
    """Return a dense model, never to be written to, and data; None for none."""
    return _LOADER[-1](model_id, data_id)


def use_loader(loader: Loader) -> None:
    """Let another function give models and data in this process: the dashboard's server keeps them, uploads included.

    Parameters
    ----------
    loader : callable
        Takes a `ModelId` and a `DataId` or None; what it returns is shared and stays as it is.
    """
    _LOADER[:] = [loader]


Shape = tuple[int, ...]


def run_gone(run: Run, why: str, what_to_do: str) -> RunGone:
    """Return the error of a run that cannot be opened again."""
    return RunGone(f"the weights of run {run.id[:12]} ({run.title}) are gone: {why}. {what_to_do}")


@dataclass(frozen=True, eq=False)
class Source:
    """Where a run comes from."""

    run: Run
    store: RunStore
    data: Any = None  # images that are loaded already

    @property
    def model_id(self) -> ModelId:
        """The dense model."""
        return ModelId.from_dict(self.run.model)

    @property
    def spec(self) -> PruneSpec | None:
        """The setting."""
        return None if self.run.spec is None else PruneSpec.from_dict(self.run.spec)

    @property
    def recovery(self) -> Recovery:
        """What was done afterwards."""
        return Recovery() if self.run.recovery is None else Recovery.from_dict(self.run.recovery)

    def data_ids(self) -> list[DataId]:
        """Return the data that the run has met, those that made it first."""
        told = [self.run.info.get("data"), *(seen.data for seen in self.store.measurements(self.run.id) if seen.what in QUALITY)]
        return list(dict.fromkeys(DataId.from_dict(plain) for plain in told if plain))

    def dense(self) -> tuple[nn.Module, Shape]:
        """Return the dense model and the shape of a sample."""
        try:
            model = load_model(self.model_id)
            for shape in self._shapes(model):
                if self._is_of(model, shape):
                    return model, shape
        except (PrunekitError, OSError) as error:
            raise run_gone(self.run, f"its dense model cannot be loaded: {error}", "Bring it back, or delete the run") from error
        other, back = ("code or options", "code") if self._has_the_weights(model) else ("weights", "weights")
        why = f"{self.model_id.name} has other {other} now than when the run was made"
        raise run_gone(self.run, why, f"Bring the earlier {back} back, or make the run again from today's")

    def _is_of(self, model: nn.Module, shape: Shape) -> bool:
        """Whether the run was made of a model; of one that an earlier version made, what that version looked at must be the same."""
        return weights_of(model, shape) == self.run.weights or (self.run.earlier and earlier_weights_of(model, shape) == self.run.weights)

    def _has_the_weights(self, model: nn.Module) -> bool:
        """Whether a model has the weights of the dense run, as far as they were noted."""
        dense = self.run if self.run.kind == "dense" else self.store.get_run(run_id(self.run.weights, None, None))
        return dense is not None and dense.info.get("state") == state_hash(model)

    def _shapes(self, model: nn.Module) -> Iterator[Shape]:
        """Yield shapes that a sample may have had: as noted, as usual for the model, as in the data."""
        noted, usual = self.run.info.get("input_shape"), info(model).input_shape
        yield from (shape for shape in (tuple(noted or ()), usual) if shape)  # the usual one may be more than a shape: a whole form
        for data in self.datas():
            yield shape_of(model, data.test)

    def datas(self) -> Iterator[Any]:
        """Yield the data that the run has met, as far as they can be loaded."""
        if self.data is not None:
            yield self.data
        for data_id in self.data_ids():
            try:
                yield load(self.model_id, data_id)[1]
            except (PrunekitError, OSError):
                continue

    def images(self) -> Any:
        """Return the data that decided what the run became; None where none did."""
        if not self.run.trained_on:
            return None
        for data in self.datas():
            if trained_on(data, self.spec, self.recovery) == self.run.trained_on:
                return data
        names = ", ".join(data_id.name for data_id in self.data_ids()) or "data that nobody noted"
        why = f"it was made by looking at training images of {names}, and these cannot be loaded or have changed since"
        raise run_gone(self.run, why, "Bring the images back, or make the run again from today's")


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
