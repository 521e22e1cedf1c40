"""``path/to/file.py:task``: a task of the user's own, which says what only it can say; the rest has defaults."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor

from prunekit.errors import PrunekitError, TaskError
from prunekit.local_code.code import sha256, walk
from prunekit.local_code.factories import call, is_factory, load_factory, split_name
from prunekit.local_code.local_imports import LOCK
from prunekit.statistics.bootstrap import QUICK
from prunekit.tasks.base import BaseTask
from prunekit.tasks.batch import Batch, collate
from prunekit.tasks.metrics import Metric, metric
from prunekit.tasks.observations import Observations

if TYPE_CHECKING:
    from torch import nn

EXAMPLE = """\
import torch
from prunekit.tasks import metric

@metric(better="lower", unit="kWh")
def mean_error(seen):                       # all samples that were observed, column by column
    return abs(seen["error"]).mean()

class Demand:
    metrics = [mean_error]                  # the first is the headline
    unit_of_data = "day"
    def loss(self, output, batch):          # a scalar, for training and gradient criteria
        return torch.nn.functional.mse_loss(output[:, 0], batch.targets)
    def observe(self, output, batch):       # a row of numbers for each sample
        return {"error": output[:, 0] - batch.targets}

task = Demand()
"""
SHOWN = f"A task looks like this:\n\n{EXAMPLE}"
NEEDED = ("metrics", "loss", "observe")


@dataclass(frozen=True)
class OwnTask(BaseTask):
    """A task from a user's file.

    Parameters
    ----------
    own : object
        The user's, with `loss`, `observe` and what else it defines of a task.
    code : str
        What tells it from any other: its class, its plain attributes, and the code of the class's file and of the local modules that this
        imports, wherever they lie.
    """

    own: Any = field(default=None, compare=False, repr=False)
    code: str = ""

    @property
    def identity(self) -> str:
        """What it is, wherever it lies."""
        return f"own task {self.code or self.name}"

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> Batch:
        """Return samples as one batch, by the user's ``collate`` where there is one."""
        return collate(samples, (lambda each: self._ask("collate", each)) if self.has("collate") else None)

    def example(self, model: nn.Module) -> Batch:
        """Return the user's example (a function of the model, or inputs), else the default."""
        if not self.has("example"):
            return super().example(model)
        return Batch.of(self._ask("example", model) if callable(self.own.example) else self.own.example)

    @property
    def heads(self) -> Callable[[nn.Module, Batch], Any] | None:
        """The user's, which computes a model's tensors before it decides by values, where there is one."""
        return partial(self._ask, "heads") if self.has("heads") else None

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch."""
        return self._ask("forward", model, batch) if self.has("forward") else super().forward(model, batch)

    def tensors(self, output: Any) -> dict[str, Tensor]:
        """Return an output's tensors by name."""
        return dict(self._ask("tensors", output)) if self.has("tensors") else super().tensors(output)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the user's loss.

        Raises
        ------
        TaskError
            If it fails or is no scalar.
        """
        return self._scalar("loss", output, batch)

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return how far a student's output is from a teacher's."""
        if not self.has("distance"):
            return super().distance(output, teacher, batch, temperature)
        return self._scalar("distance", output, teacher, batch, temperature)

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return what the user's task observes: `Observations`, a dict of columns (``groups`` among them), or one column.

        Raises
        ------
        TaskError
            If it fails, or is not one row for each sample.
        """
        made = self._ask("observe", output, batch)
        try:
            if not isinstance(made, Observations):
                made = Observations.of(**made) if isinstance(made, Mapping) else Observations.of(value=made)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TaskError(f"observe of {self.name} must return a row of numbers for each sample: {error}") from error
        if made.n != batch.samples:
            raise TaskError(f"observe of {self.name} must return a row for each of {batch.samples} samples; it returned {made.n}")
        return made

    def has(self, method: str) -> bool:
        """Whether the user's task defines something that has a default."""
        return getattr(self.own, method, None) is not None

    def _scalar(self, method: str, *arguments: Any) -> Tensor:
        """Return what a method of the user's gives, known to be one number."""
        value = self._ask(method, *arguments)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise TaskError(f"{method} of {self.name} must return one number as a tensor, such as a mean over samples; it returned {got}")
        return value.reshape(())

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the user's; what goes wrong inside it becomes one plain sentence."""
        try:
            return getattr(self.own, method)(*arguments)
        except PrunekitError:
            raise
        except Exception as error:
            raise _failed(f"{method} of {self.name}", error) from error


def load_task(name: str) -> OwnTask:
    """Return a task of the user's own.

    Parameters
    ----------
    name : str
        ``path/to/file.py:task``, or ``path/to/file.py:factory.task`` of what a factory holds. That is an
        object with ``metrics``, ``loss`` and ``observe``, a class of such objects, or a function that returns one. What else a `Task`
        has may be defined too. Metrics are `Metric`, or functions of observations with an attribute ``better``.

    Returns
    -------
    OwnTask

    Raises
    ------
    TaskError
        If the file fails, or what it names is no task; the message shows a whole example.
    """
    with LOCK:  # one edition of the file makes it and names it
        factory, _, inner = name.rpartition(":")[2].partition(".")
        place = f"{name.rpartition(':')[0]}:{factory}"
        own = load_factory(place, TaskError)
        if inner:
            own = getattr(own, inner, None)
        elif isinstance(own, type) or (callable(own) and not hasattr(own, "loss")):
            own = call(name, own, TaskError)
        path, attribute = split_name(place, TaskError)
    return as_task(own, f"{path}:{attribute}{inner and f'.{inner}'}")


def as_task(own: Any, name: str) -> OwnTask:
    """Return an object that defines at least ``metrics``, ``loss`` and ``observe`` as a task.

    Parameters
    ----------
    own : object
        As for `load_task`.
    name : str
        What to call it, where it cannot be found again in its file.

    Raises
    ------
    TaskError
        If it is no task; the message shows a whole example.
    """
    missing = [each for each in NEEDED if getattr(own, each, None) is None]
    if missing:
        raise TaskError(f"{name} is a {type(own).__name__} without {' and '.join(missing)}. {SHOWN}")
    metrics = own.metrics if isinstance(own.metrics, (list, tuple)) else (own.metrics,)
    if not metrics:
        raise TaskError(f"{name} has no metric: it needs at least one. {SHOWN}")
    called = name if is_factory(name) else place_of(own) or name
    title = str(getattr(own, "title", None) or type(own).__name__)
    unit = str(getattr(own, "unit_of_data", None) or "sample")
    units = str(getattr(own, "units_of_data", None) or f"{unit}s")
    every = tuple(_metric(each, name) for each in metrics)
    return OwnTask(called, title, every, unit, units, own, _code_of(own, every))


def place_of(own: Any) -> str:
    """Return ``path/to/file.py:task`` of an object: the name that it has there, or its class where it keeps nothing; "" for neither."""
    kind, file = type(own), _file_of(own)
    module = sys.modules.get(kind.__module__)
    if file is None or module is None or getattr(module, "__file__", None) != str(file):
        return ""
    named = next((each for each, value in vars(module).items() if value is own), None)
    if named is None and vars(module).get(kind.__name__) is kind and not getattr(own, "__dict__", {}):
        named = kind.__name__
    return f"{file}:{named}" if named is not None else ""


def _file_of(own: Any) -> Path | None:
    """Return the file that an object's class, or its loss, was written in."""
    module = sys.modules.get(type(own).__module__)
    loss = getattr(own, "loss", None)
    code = getattr(getattr(loss, "__func__", loss), "__code__", None)
    for place in (getattr(module, "__file__", None) if type(own).__module__ != "types" else None, getattr(code, "co_filename", None)):
        if place and Path(place).is_file():
            return Path(place).resolve()
    return None


_FILES: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()


def _code_of(own: Any, metrics: Sequence[Metric]) -> str:
    """Return a hash of what a task is."""
    kind = type(own)
    if kind not in _FILES:  # as it was when it was first asked: the file may change later, and the class does not
        file = _file_of(own)
        _FILES[kind] = {} if file is None else walk(file).files
    plain = {key: value for key, value in getattr(own, "__dict__", {}).items() if isinstance(value, (bool, int, float, str, type(None)))}
    told = [kind.__qualname__, sorted(_FILES[kind].items()), sorted(plain.items()), [[m.name, m.unit, m.better] for m in metrics]]
    return sha256(json.dumps(told).encode())


def _metric(each: Any, name: str) -> Metric:
    """Return a metric of the user's, whose failures are plain sentences."""
    if isinstance(each, Metric):
        made = each
    else:
        told: dict[str, Any] = {key: getattr(each, key, "") for key in ("better", "unit", "name", "title")}
        if not callable(each) or not told["better"]:
            raise TaskError(
                f"{each!r} among the metrics of {name} must be a function of observations that says which way is better "
                f"('higher' or 'lower'). {SHOWN}"
            )
        made = metric(each, **told)
    figure = made.figure
    if isinstance(figure, QUICK):
        return made

    def guarded(seen: Observations) -> float:
        try:
            return float(figure(seen))
        except PrunekitError:
            raise
        except Exception as error:
            raise _failed(f"the metric {made.name} of {name}", error) from error

    return replace(made, figure=guarded)


def _failed(what: str, error: Exception) -> TaskError:
    """Return what went wrong inside the user's code in one sentence, with the line that it came from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return TaskError(f"{what} failed: {type(error).__name__}: {text} ({last.filename.rpartition('/')[2]}, line {last.lineno})")
