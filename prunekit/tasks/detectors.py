"""The forms of detectors that are known, and which of them a model or an output is of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.tasks.batch import Batch
from prunekit.tasks.detector_forms import DetectorForm, PlainForm
from prunekit.tasks.torchvision_detectors import TorchvisionForm
from prunekit.tasks.transformers_detectors import TransformersForm

FORMS: tuple[DetectorForm, ...] = (TorchvisionForm(), TransformersForm(), PlainForm())
"""Forms in the order in which they are asked; the plain one, which fits all, is the last."""


def form_of(model: nn.Module) -> DetectorForm:
    """Return the form of a model."""
    return next(form for form in FORMS if form.fits(model))


def form_for(output: Any) -> DetectorForm:
    """Return the form that reads an output."""
    found = next((form for form in FORMS if form.reads(output)), None)
    if found is None:
        raise ModelError(f"nobody knows where in this output, a {type(output).__name__}, boxes and scores are: is it a detector's?")
    return found


def heads_of_detector(model: nn.Module) -> Callable[[nn.Module, Batch], dict[str, Tensor]] | None:
    """Return what computes the tensors of a detector of a known library before anything is chosen; None of any other model."""
    form = form_of(model)
    return None if isinstance(form, PlainForm) else form.heads
