"""`InputForm`: what a model takes, where the shape of one float tensor does not say it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.tasks.base import BaseTask
from prunekit.tasks.batch import Batch
from prunekit.tasks.known_values import know
from prunekit.tasks.noted import told

SAMPLES = 2
AROUND = "_prunekit_around"  # attribute of a model: a context, given the model, in which it is to be asked


class InputForm(tuple[int, ...]):
    """Inputs of any form; it reads as the shape of one sample of the first floating tensor among them.

    Two forms are equal where names, shapes and types of their tensors are.
    """

    example: Batch  # inputs that the model accepts

    @classmethod
    def of(cls, inputs: Any) -> InputForm:
        """Return the form of a batch, a tensor, a tuple or a dict."""
        batch = Batch.of(inputs)
        tensors = [tensor for _, tensor in batch.named_tensors()]
        first = next((tensor for tensor in tensors if tensor.is_floating_point()), tensors[0])
        form = cls(first.shape[1:])
        form.example = batch
        return form

    @classmethod
    def of_shapes(cls, shapes: Sequence[Sequence[int]]) -> InputForm:
        """Return the form of several float tensors, one for each argument, from the shape of one sample of each."""
        return cls.of(tuple(torch.zeros(SAMPLES, *shape) for shape in shapes))

    def _key(self) -> tuple[Any, ...]:
        """Return what makes two forms equal."""
        n = self.example.samples
        return tuple(
            (name, tuple(tensor.shape[1:] if tensor.ndim and len(tensor) == n else tensor.shape), tensor.dtype)
            for name, tensor in self.example.named_tensors()
        )

    def __eq__(self, other: object) -> bool:
        """Compare names, shapes and types."""
        return isinstance(other, InputForm) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash names, shapes and types."""
        return hash(self._key())

    def __bool__(self) -> bool:
        """Be true, for the form is known: one sample may be a single number, of the shape ()."""
        return True

    @property
    def plain(self) -> bool:
        """Whether it is one float tensor."""
        tensors = list(self.example.named_tensors())
        return len(self.example.args) == 1 and isinstance(self.example.args[0], Tensor) and tensors[0][1].is_floating_point()

    def inputs(self, n: int, source: torch.Generator | None = None) -> Batch:
        """Return samples of this form: noise where it is floating, else rows of the example, drawn at random, in the order of the example.

        Lengths of sequences, for one, have to come in their order.
        """
        source = source or torch.Generator().manual_seed(0)
        own = self.example.samples
        rows = self.example.take(torch.randint(own, (n,), generator=source).sort()[0])

        def noise(tensor: Tensor) -> Tensor:
            return torch.randn(tensor.shape, generator=source, dtype=tensor.dtype) if tensor.is_floating_point() and tensor.ndim else tensor

        return rows.map(noise)


class SampleShape(tuple[int, ...]):
    """The shape of one float sample of data, which it equals; it remembers a few samples, for models that take no noise."""

    example: Batch  # the first samples

    @classmethod
    def of(cls, batch: Batch, shape: Sequence[int]) -> SampleShape:
        """Return the shape of the samples of a batch."""
        found = cls(shape)
        found.example = batch
        return found


def form_of(model: nn.Module, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return what a model takes: as its factory's example says, else as the shape of one float tensor."""
    if isinstance(shape, InputForm):
        return shape
    given = told(model, "example")
    if given is not None:
        form = InputForm.of(given() if callable(given) else given)
        if not form.plain:
            return form
        shape = tuple(form) if shape is None else shape
    if shape is None:
        raise ModelError("nobody says what the model takes: give its factory an attribute example or input_shape, or pass data")
    return shape if isinstance(shape, SampleShape) else tuple(shape)


def form_of_data(data: Any) -> tuple[int, ...]:
    """Return what the samples of data are: the shape of one where they are float tensors, else their whole form."""
    from prunekit.tasks.batches import batches_of  # noqa: PLC0415 (most shapes come without data)

    split = getattr(data, "test", data)
    inputs = split[0][0]
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        first = range(min(SAMPLES, len(split)))
        return SampleShape.of(Batch((torch.stack([torch.as_tensor(split[i][0]) for i in first]),)), inputs.shape)
    return InputForm.of(next(batches_of(split, SAMPLES)))


def samples_like(shape: Sequence[int], n: int, source: torch.Generator) -> Batch:
    """Return samples of normal noise on the CPU, float32 where a shape alone says what they are; integers are the example's own."""
    return shape.inputs(n, source) if isinstance(shape, InputForm) else Batch((torch.randn(n, *shape, generator=source),))


def reads_ids(shape: Sequence[int]) -> bool:
    """Whether inputs are whole numbers alone, as token ids are."""
    return isinstance(shape, InputForm) and not any(each.is_floating_point() for _, each in shape.example.named_tensors())


def made_of(shape: Sequence[int]) -> str:
    """Say what `samples_like` makes: noise, or what the example holds, which of token ids is drawn at random."""
    return "the model's example" if reads_ids(shape) else "noise"


def form_words(inputs: Batch) -> str:
    """Say what a model takes: every tensor with its shape and type, as in ``load [N, 5] float32, kind [N] int64``."""
    n = inputs.samples

    def sides(tensor: Tensor) -> str:
        return ", ".join(["N", *map(str, tensor.shape[1:])] if tensor.ndim and len(tensor) == n else map(str, tensor.shape))

    return ", ".join(f"{name} [{sides(each)}] {str(each.dtype).removeprefix('torch.')}" for name, each in inputs.named_tensors())


def sample_words(inputs: Batch, whole: str = "whole number") -> str:
    """Say what one sample is to people: ``24 whole numbers`` (or token ids), ``load: 5 numbers; kind: one whole number``."""
    n, said = inputs.samples, []
    for name, each in inputs.named_tensors():
        sides = each.shape[1:] if each.ndim and len(each) == n else each.shape
        kind = "number" if each.is_floating_point() else "yes or no" if each.dtype == torch.bool else whole
        many = f"{' × '.join(map(str, sides))} {kind if kind == 'yes or no' else f'{kind}s'}" if sides else f"one {kind}"
        said.append(many if name == "input" else f"{name}: {many}")  # by position, without a name of its own
    return "; ".join(said)


def noted(shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return a shape as it is kept with a run or in a recipe; None for other forms, which the model's factory or the data tell."""
    return None if isinstance(shape, InputForm) else tuple(shape)


def zeros(model: nn.Module, shape: Sequence[int], n: int) -> Batch:
    """Return samples without content, on the model's device and in its type; integers are the example's own."""
    place = next(model.parameters(), torch.zeros(()))
    dtype = place.dtype if place.is_floating_point() else torch.float32
    if not isinstance(shape, InputForm):
        return Batch((torch.zeros(n, *shape, dtype=dtype, device=place.device),))
    found = shape.inputs(n).map(lambda tensor: torch.zeros_like(tensor) if tensor.is_floating_point() else tensor)
    if not place.is_meta:
        return found.to(place.device, dtype)
    bare = found.map(lambda tensor: tensor if tensor.is_floating_point() else know(torch.empty_like(tensor, device="meta"), tensor))
    return bare.to(place.device, dtype)


def noise(model: nn.Module, shape: Sequence[int], n: int, source: torch.Generator) -> Batch:
    """Return samples of normal noise on the model's device; integers are the example's own."""
    place = next(model.parameters(), torch.zeros(()))
    return samples_like(shape, n, source).to(place.device)


def heads_of(model: nn.Module) -> Callable[[nn.Module, Batch], Any] | None:
    """Return what computes a model's tensors up to where it decides by values; None where the model does not, for all anybody knows.

    A user's task says it with ``heads(model, batch)``; of detectors of known libraries it is known.
    """
    own = getattr(told(model, "task"), "heads", None)
    if own is not None:
        return own  # type: ignore[no-any-return]
    return library_heads(model)


def library_heads(model: nn.Module) -> Callable[[nn.Module, Batch], Any] | None:
    """Return what computes the tensors of a detector of a known library before it chooses; None of any other model."""
    if "torchvision.models.detection" not in sys.modules and "transformers" not in sys.modules:
        return None
    from prunekit.tasks.detectors import heads_of_detector  # noqa: PLC0415 (it loads torchvision, which most models do not need)

    return heads_of_detector(model)


def answer(model: nn.Module, inputs: Batch | Tensor) -> Any:
    """Return what a model makes of a batch, before it decides by values; whatever goes wrong is raised as it is."""
    batch = Batch.of(inputs)
    with model.__dict__.get(AROUND, nullcontext)(model):
        heads = heads_of(model)
        return model(*batch.args, **batch.kwargs) if heads is None else heads(model, batch)


class Heads(BaseTask):
    """Calls a model for its tensors before it decides by values: what is traced, proved and exported."""

    def _asked(self, model: nn.Module, batch: Batch) -> Any:
        """Return what a model makes of a batch, before it decides by values."""
        heads = heads_of(model)
        return super()._asked(model, batch) if heads is None else heads(model, batch)


HEADS = Heads("heads", "heads", ())
