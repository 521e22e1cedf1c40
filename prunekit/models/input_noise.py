"""Inputs that a model may take, made without anybody's help: noise of several kinds, places in tables, and what is known by example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.models.probe import index_limit
from prunekit.tasks.base import told
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, noise


def inputs_for(model: nn.Module, shape: Sequence[int], n: int, source: torch.Generator, samples: Batch | None = None) -> Iterator[Batch]:
    """Yield inputs of a form, one kind after another: a model takes the first that it runs on and that gives finite numbers.

    Parameters
    ----------
    model : nn.Module
        Which will get them; they are made on its device.
    shape : sequence of int
        Shape of one sample, or `InputForm`.
    n : int
        How many samples.
    source : torch.Generator
        Of the noise.
    samples : Batch, optional
        Real ones, the last resort.
    """
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
    for each in known:
        if each is not None and len(each):
            yield _repeated(each, n).to(place.device)


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
