"""What one sample of a model is: as given, of its data, or as its card or factory says."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError, SpecError
from prunekit.models.inputs import form_for
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, form_of_data
from prunekit.tasks.noted import told

Inputs: TypeAlias = tuple[int, ...] | tuple[tuple[int, ...], ...] | Tensor | tuple[Any, ...] | dict[str, Any] | Batch


class HasTest(Protocol):
    """Data with a test split (and, for some criteria, a training split), as :func:`prunekit.load_data` returns."""

    @property
    def test(self) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
        """The test split."""


def sample_shape(model: nn.Module, data: HasTest | None = None, input_shape: Inputs | None = None) -> tuple[int, ...]:
    """Return what one sample is: as given, of the data, as the model's card or factory says, or guessed."""
    if input_shape is not None:
        several: tuple[Any, ...] | list[Any] = input_shape if isinstance(input_shape, (tuple, list)) else ()
        if isinstance(input_shape, (dict, Batch, Tensor, InputForm)) or any(isinstance(each, Tensor) for each in several):
            form = input_shape if isinstance(input_shape, InputForm) else InputForm.of(input_shape)
            return tuple(form) if form.plain and not several else form
        if several and all(isinstance(each, (tuple, list)) for each in several):
            return InputForm.of_shapes(several)  # type: ignore[arg-type]
        if isinstance(input_shape, int) or not all(isinstance(side, int) and side > 0 for side in input_shape):
            raise SpecError(f"input_shape must be the shape of one sample, as in (3, 32, 32); got {input_shape!r}")
        return form_for(model, several)
    if data is not None:
        return form_of_data(data)
    if told(model, "example") is not None:
        return form_for(model)
    from prunekit.models.info import info  # noqa: PLC0415 (it loads torchvision, which a bare model does not need)

    shape = info(model).input_shape
    if shape is None:
        raise ModelError("cannot tell what input this model takes: pass data for it, or input_shape")
    return form_for(model, shape)
