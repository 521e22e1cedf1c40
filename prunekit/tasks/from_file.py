"""``path/to/file.py:task``: a task of the user's own, which says what only it can say; the rest has defaults."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from prunekit.errors import PrunekitError, TaskError
from prunekit.local_code.factories import call, code_that_ran, load_factory
from prunekit.local_code.local_imports import LOCK
from prunekit.statistics.bootstrap import Sums, Weighted
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
        Hash of the code that made it (`prunekit.local_code.factories.code_that_ran`).
    """

    own: Any = field(default=None, compare=False, repr=False)
    code: str = ""

    @property
    def identity(self) -> str:
        """The code, wherever it lies."""
        return f"own task {self.code or self.name}"

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> Batch:
        """Return samples as one batch, by the user's ``collate`` where there is one."""
        return collate(samples, (lambda each: self._ask("collate", each)) if self._has("collate") else None)

    def example(self, model: nn.Module) -> Batch:
        """Return the user's example (a function of the model, or inputs), else the default."""
        if not self._has("example"):
            return super().example(model)
        return Batch.of(self._ask("example", model) if callable(self.own.example) else self.own.example)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch."""
        return self._ask("forward", model, batch) if self._has("forward") else super().forward(model, batch)

    def tensors(self, output: Any) -> dict[str, Tensor]:
        """Return an output's tensors by name."""
        return dict(self._ask("tensors", output)) if self._has("tensors") else super().tensors(output)

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
        if not self._has("distance"):
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

    def _has(self, method: str) -> bool:
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
        code = code_that_ran(place)
    return as_task(own, name, code)


def as_task(own: Any, name: str, code: str = "") -> OwnTask:
    """Return an object that defines at least ``metrics``, ``loss`` and ``observe`` as a task.

    Parameters
    ----------
    own : object
        As for `load_task`.
    name : str
        What to call it.
    code : str
        Hash of the code that made it.

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
    title = str(getattr(own, "title", None) or type(own).__name__)
    unit = str(getattr(own, "unit_of_data", None) or "sample")
    units = str(getattr(own, "units_of_data", None) or f"{unit}s")
    return OwnTask(name, title, tuple(_metric(each, name) for each in metrics), unit, units, own, code)


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
    if isinstance(figure, (Sums, Weighted)):
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
