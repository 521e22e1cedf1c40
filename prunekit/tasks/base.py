"""`BaseTask`: a task with what it need not say itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import ModelError, TaskError, one_of
from prunekit.tasks.faults import lookup_fault
from prunekit.tasks.metrics import Metric
from prunekit.tasks.noted import told
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import PASS, Phase, Task
from prunekit.tasks.shown import Answer, Continuation, Prompt, Reader, Shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunekit.tasks.batch import Batch
    from sample_models.augment import Move, Shrink

OUTPUT = "output"
SAMPLES = 2


@dataclass(frozen=True)
class BaseTask:
    """A task with everything but `loss` and `observe`, which a task defines, and `metrics`, which it is given.

    Parameters
    ----------
    name, title, unit_of_data, units_of_data, metrics
        As in `Task`.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    unit_of_data: str = "sample"
    units_of_data: str = "samples"

    given_as = "FILE.py:NAME"
    """How somebody names data of their own, in the words of ``--data``."""

    @property
    def headline(self) -> Metric:
        """The metric that "how far", sensitivity and Compare speak of."""
        return self.metrics[0]

    @property
    def identity(self) -> str:
        """What tells this task from any other, in a run's hash."""
        return self.name

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What a model's time is measured for: one forward pass, whose throughput counts samples."""
        return (Phase(PASS, "", self.unit_of_data, self.units_of_data),)

    @property
    def answered(self) -> tuple[str, str]:
        """What one answer that people see is about, and several: one sample, and several."""
        return self.unit_of_data, self.units_of_data

    def for_data(self, data: Any) -> Task:
        """Return the task as data have it: itself."""
        return self

    def length(self, batch: Batch) -> int:
        """Return how many tokens each sample has; 0 where samples are no sequences of tokens."""
        return 0

    def at_length(self, batch: Batch, length: int) -> Batch:
        """Return samples cut, or repeated, to so many tokens each.

        Raises
        ------
        TaskError
            If samples are no sequences of tokens.
        """
        raise TaskError(f"{self.units_of_data} of {self.title} have no length in tokens: leave the length out")

    def metric(self, name: str) -> Metric:
        """Return a metric by name.

        Raises
        ------
        TaskError
            If the task has none of that name.
        """
        one_of(f"metric of {self.title}", name, [each.name for each in self.metrics], TaskError)
        return next(each for each in self.metrics if each.name == name)

    def count(self, n: int) -> str:
        """Return so many samples in words, as in ``1 image`` or ``10,000 images``."""
        return f"{n:,} {self.unit_of_data if n == 1 else self.units_of_data}"

    def terms(self, batch: Batch) -> int | None:
        """Return how many terms a batch's loss is the mean of: nobody knows."""
        return None

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> Batch:
        """Return samples ``(inputs, target)`` as one batch."""
        from prunekit.tasks.batch import collate  # noqa: PLC0415 (a task's name and metrics need no torch)

        return collate(samples)

    def example(self, model: nn.Module) -> Batch:
        """Return what the factory's ``example`` gives; else two samples of normal noise in the model's input shape.

        Raises
        ------
        ModelError
            If neither is known.
        """
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)

        from prunekit.tasks.batch import Batch  # noqa: PLC0415

        given = told(model, "example")
        if given is not None:
            return Batch.of(given() if callable(given) else given)
        shape = told(model, "input_shape")
        if shape is None:
            raise ModelError(
                "nobody says what the model takes: give its factory an attribute example (a tensor, a tuple of positional or a dict of "
                "keyword arguments, several samples each), or input_shape"
            )
        return Batch.of(torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0)))

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch, which is moved to the model's device and floating type.

        Raises
        ------
        ModelError
            If the model does not run on it.
        """
        place = next(model.parameters(), None)
        if place is not None:
            batch = batch.to(place.device, place.dtype if place.is_floating_point() else None)
        try:
            return self._asked(model, batch)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError) as error:
            if fault := lookup_fault(error, model, batch):
                raise ModelError(fault) from error
            line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            inputs = dict(batch.named_tensors())
            if list(inputs) == ["input"]:
                form, advice = f"samples of shape {list(inputs['input'].shape[1:])}", "shape that it was made for, or give the input size"
            else:
                form = f"inputs of this form ({', '.join(f'{name} {list(tensor.shape)}' for name, tensor in inputs.items())})"
                advice = "form that it was made for"
            raise ModelError(f"the model does not run on {form}: {line}. Choose data of the {advice}") from error

    def _asked(self, model: nn.Module, batch: Batch) -> Any:
        """Return what a model makes of a batch; whatever goes wrong is raised as it is."""
        return model(*batch.args, **batch.kwargs)

    def tensors(self, output: Any) -> dict[str, Tensor]:
        """Return every tensor of an output by its dotted path; one alone is called ``output``."""
        from prunekit.tasks.nested import named_tensors  # noqa: PLC0415 (a task's name and metrics need no torch)

        return dict(named_tensors(output, OUTPUT))

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the loss: each task's own."""
        raise NotImplementedError

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return the mean squared difference of all floating tensors that both outputs hold.

        Raises
        ------
        ModelError
            If they hold none in common.
        """
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        own, theirs = self.tensors(output), self.tensors(teacher)
        shared = [name for name, each in own.items() if each.is_floating_point() and name in theirs and theirs[name].shape == each.shape]
        if not shared:
            raise ModelError(
                f"the teacher answers in another form: {', '.join(theirs) or 'no tensor'}; the model: {', '.join(own) or 'no tensor'}"
            )
        parts = [functional.mse_loss(own[name], theirs[name].to(own[name].dtype)) for name in shared]
        return sum(parts[1:], start=parts[0]) / len(parts)

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return what is seen of each sample: each task's own."""
        raise NotImplementedError

    def readable(self, seen: Observations) -> Observations:
        """Return the observations as they are."""
        return seen

    def changes(self, before: Observations, after: Observations) -> tuple[Mapping[str, NDArray[Any]], str] | None:
        """Return None: what is readable tells it."""
        return None

    def by_class(self, seen: Observations, names: Sequence[str] = ()) -> tuple[Metric, ...]:
        """Return no metric: each task's own."""
        return ()

    def groups(self, part: Any, train: Any) -> tuple[Mapping[str, NDArray[np.bool_]], tuple[Metric, ...]]:
        """Return no groups: each task's own."""
        return {}, ()

    def moved(self, targets: Any, moves: Sequence[Move | Shrink], size: tuple[int, int]) -> Any:
        """Return the targets themselves: what an image is does not hang on its place."""
        return targets

    @property
    def prompt(self) -> Prompt | None:
        """None: a sample is nothing that is typed."""
        return None

    def read(self, text: str, reader: Reader) -> tuple[Batch, str]:
        """Return a typed text as one sample: for tasks with a prompt."""
        raise NotImplementedError

    def places(self, split: Any, number: int) -> NDArray[np.int64]:
        """Return the place of the sample itself."""
        return np.array([min(number, len(split) - 1)])

    def shown(self, split: Any, number: int, names: Sequence[str] = ()) -> Shown | None:
        """Return the picture or the text of a sample, where the split has one."""
        if hasattr(split, "text"):
            return Shown(text=split.text(number))
        return Shown(picture=split.picture(number)) if getattr(split, "pictured", hasattr(split, "picture")) else None

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Answer | None:
        """Return None: each task's own."""
        return None

    def go_on(self, model: nn.Module, text: str, reader: Reader, *, tokens: int, seed: int | None = None) -> Continuation:
        """Return how a model goes on: for tasks whose prompt says so."""
        raise NotImplementedError


PLAIN = BaseTask("plain", "plain", ())
"""Calls a model and names its tensors, for whoever judges nothing."""
