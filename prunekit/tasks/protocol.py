"""`Task`: what the house knows of what a model reads and answers, and how that is judged; and `Phase`, what its time is taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prunekit.tasks.metrics import Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.shown import Answer, Continuation, Prompt, Reader, Shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunekit.tasks.batch import Batch
    from sample_models.augment import Move, Shrink

PASS = "pass"


@dataclass(frozen=True)
class Phase:
    """One thing that a model's time is measured for."""

    name: str  # name, title: in JSON, and as people read it; the title of a plain forward pass is empty
    title: str
    unit: str  # unit, units: what throughput counts: "image", "images"
    units: str
    each_token: bool = False  # whether every token of a text counts, or the text as one
    cached: bool = False  # whether one token is read after those whose keys and values are given

    def count(self, batch: int, length: int) -> int:
        """Return how many units one forward pass deals with."""
        return batch * length if self.each_token else batch


PROMPT = Phase("prompt", "prompt", "token", "tokens", each_token=True)
ONE_TOKEN = Phase("one-token", "one token at a time", "token", "tokens", cached=True)


class Group(NamedTuple):
    """What is the same for all rows that are compared with each other; ``length`` is 0 where inputs have none."""

    batch: int
    threads: int
    length: int = 0
    phase: str = PASS

    @property
    def where(self) -> str:
        """Which phase, at which length and batch."""
        return ", ".join(filter(None, (self.title, f"batch {self.batch}")))

    @property
    def title(self) -> str:
        """Which phase, at which length."""
        words = {each.name: each.title for each in (PROMPT, ONE_TOKEN)}.get(self.phase, "")
        tokens = f"{self.length} token{'' if self.length == 1 else 's'}" if self.length else ""
        if self.phase == ONE_TOKEN.name:  # the one that is read is the last of so many
            return f"{words}, {self.length - 1} before it"
        return f"{words} of {tokens}" if words and tokens else words or tokens


@runtime_checkable
class Task(Protocol):
    """What the whole house knows of a model's work.

    Attributes
    ----------
    name, title : str
        As in a registry and on the command line, and as people read it.
    unit_of_data, units_of_data : str
        What one sample is called, and several: "image", "images".
    metrics : tuple of Metric
        The first is the headline.
    headline : Metric
        What "how far", sensitivity and Compare speak of.
    identity : str
        What tells the task from any other, in a run's hash.
    phases : tuple of Phase
        What a model's time is measured for, and what its throughput counts.
    answered : tuple of str
        What one answer that people see is about, and several: a sample, unless several samples share an answer.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (the class says it)
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def unit_of_data(self) -> str: ...  # noqa: D102
    @property
    def units_of_data(self) -> str: ...  # noqa: D102
    @property
    def metrics(self) -> tuple[Metric, ...]: ...  # noqa: D102
    @property
    def headline(self) -> Metric: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def phases(self) -> tuple[Phase, ...]: ...  # noqa: D102
    @property
    def answered(self) -> tuple[str, str]: ...  # noqa: D102

    def for_data(self, data: Any) -> Task:
        """Return the task as data have it: in the unit of their targets, with their classes."""

    def metric(self, name: str) -> Metric:
        """Return a metric by name."""

    def count(self, n: int) -> str:
        """Return so many samples in words, as in ``1 image`` or ``10,000 images``."""

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> Batch:
        """Return samples ``(inputs, target)`` as one batch."""

    def example(self, model: nn.Module) -> Batch:
        """Return inputs that the model accepts: for tracing, proving, exporting and timing without data."""

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch."""

    def tensors(self, output: Any) -> dict[str, Tensor]:
        """Return an output's tensors by name: what the proof compares and what an export names."""

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the scalar that training makes small and that gradient criteria differentiate."""

    def terms(self, batch: Batch) -> int | None:
        """Return how many terms a batch's loss is the mean of: such a batch may be run in parts. None where it is no such mean."""

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return how far a student's output is from a teacher's, a scalar: what distillation makes small."""

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return a row of numbers for each sample: all that the metrics need."""

    def readable(self, seen: Observations) -> Observations:
        """Return what people read of each sample, such as how many objects were found: columns that say it in words."""

    def changes(self, before: Observations, after: Observations) -> tuple[Mapping[str, NDArray[Any]], str] | None:
        """Return columns that tell how each answer changed, ``change`` among them and what that is; None: by what is readable."""

    def by_class(self, seen: Observations, names: Sequence[str] = ()) -> tuple[Metric, ...]:
        """Return a metric for each class of what was observed, in the classes' order; none where there are no classes."""

    def groups(self, part: Any, train: Any) -> tuple[Mapping[str, NDArray[np.bool_]], tuple[Metric, ...]]:
        """Return groups of a part's samples by name, as by how much training data their users have, and the metrics to see by them."""

    def moved(self, targets: Any, moves: Sequence[Move | Shrink], size: tuple[int, int]) -> Any:
        """Return targets of images (height, width) that are moved or shrunk, each in its way: what is marked in an image moves along."""

    def length(self, batch: Batch) -> int:
        """Return how many tokens each sample has; 0 where samples are no sequences of tokens."""

    def at_length(self, batch: Batch, length: int) -> Batch:
        """Return samples cut, or repeated, to so many tokens each."""

    @property
    def prompt(self) -> Prompt | None:
        """What somebody may type in place of a sample; None where samples are nothing that is typed."""

    def read(self, text: str, reader: Reader) -> tuple[Batch, str]:
        """Return a typed text as one sample, and what was done to it, in a sentence; "" for nothing."""

    def places(self, split: Any, number: int) -> NDArray[np.int64]:
        """Return which samples of a split an answer is about, by its number; those of the last answer where there are fewer."""

    def shown(self, split: Any, number: int, names: Sequence[str] = ()) -> Shown | None:
        """Return what an answer is about as people see it, its classes by their names; None where nobody knows how."""

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Answer | None:
        """Return the answer to the samples at `places` as people see it; None where nobody knows how."""

    def go_on(self, model: nn.Module, text: str, reader: Reader, *, tokens: int, seed: int | None = None) -> Continuation:
        """Return how a model goes on: each time the likeliest token, or with a seed one that is drawn."""
