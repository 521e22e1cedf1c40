"""The inputs of a model of which only a shape, or a side, is given: their form, and noise of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn

from prunekit.errors import ModelError, PrunekitError
from prunekit.models.meta_copy import meta_copy
from prunekit.models.probe import index_limit
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, answer, form_of, noise, zeros
from prunekit.tasks.noted import told

_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], tuple[int, ...]]] = WeakKeyDictionary()
SIGNS = ("Long, Int", "scalar types", "indices to be", "used as indices", "indices must be")
EXAMPLES = 4
SEVERAL = (
    "Give all inputs that forward() takes: as attribute example of its factory, as in factory.example = (x, y), by data whose samples are "
    "tuples or dicts, or their shapes, as in input_shape = ((3, 32, 32), (5,))"
)


def form_for(model: nn.Module, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return what a model takes, as :func:`prunekit.tasks.input_form.form_of` does; of whole numbers where it does not take others."""
    form = form_of(model, shape)
    if isinstance(form, InputForm) or not any(isinstance(module, (nn.Embedding, nn.EmbeddingBag)) for module in model.modules()):
        return form
    known = _FOUND.setdefault(model, {})
    if form not in known:
        known[form] = _whole_shape(model, form)
    return known[form]


def _whole_shape(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the form of whole numbers below what every table holds, where a model stops at others; else the shape."""
    try:
        meta = meta_copy(model)
    except PrunekitError:
        return shape
    source = torch.Generator().manual_seed(0)
    indices = InputForm.of(torch.randint(max(index_limit(model), 1), (EXAMPLES, *shape), generator=source))
    with torch.no_grad():
        try:
            answer(meta, zeros(meta, shape, 2).to("meta"))
        except Exception as error:
            if any(sign in str(error) for sign in SIGNS):
                return indices
    return shape


def inputs_for(model: nn.Module, shape: Sequence[int], n: int, source: torch.Generator, samples: Batch | None = None) -> Iterator[Batch]:
    """Yield inputs of a form, one kind after another: a model takes the first that it runs on and that gives finite numbers."""
    place = next(model.parameters(), torch.zeros(()))
    yield noise(model, shape, n, source)
    known = [samples, _example(model)]
    if isinstance(shape, InputForm):
        known.append(shape.example)
        yield shape.inputs(n, source).map(lambda x: x.sigmoid() if x.is_floating_point() and x.ndim else x).to(place.device)
    else:
        known.append(getattr(shape, "example", None))
        yield Batch((torch.rand(n, *shape, generator=source).to(place.device),))
        yield Batch((torch.randint(max(index_limit(model), 1), (n, *shape), generator=source).float().to(place.device),))
    real = [each.to(place.device) for each in known if each is not None and len(each)]
    yield from (_repeated(each, n) for each in real)
    yield from real  # whole: of words joined end to end, and where each text begins, no rows can be taken


def _example(model: nn.Module) -> Batch | None:
    """Return what the model's factory gives as an example."""
    given = told(model, "example")
    try:
        return None if given is None else Batch.of(given() if callable(given) else given)
    except (PrunekitError, TypeError, ValueError):
        return None


def _repeated(batch: Batch, n: int) -> Batch:
    """Return so many samples of a batch, the same ones again where there are fewer."""
    return batch.take(torch.arange(n) % len(batch))


def with_side(model: nn.Module, side: int, known: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the shape of one sample whose sides all have one length.

    Parameters
    ----------
    model : nn.Module
        Its first convolution says how many channels there are, where nothing else does.
    side : int
        In pixels; of a vector its length.
    known : tuple of int, optional
        A shape that has the right channels and number of dimensions.

    Raises
    ------
    ModelError
        If the model takes something else than one float tensor.
    """
    if isinstance(known, InputForm):
        raise ModelError("the model takes inputs of its own form, and no size says it: leave the size out, or choose data")
    if known is not None:
        return (known[0], *[side] * (len(known) - 1)) if len(known) > 1 else (side,)
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, side, side)
