"""What a model takes, where only a shape is given: one float tensor, or whole numbers where its embedding wants those."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.models.meta_copy import meta_copy
from prunekit.models.probe import index_limit
from prunekit.tasks.input_form import InputForm, answer, form_of, zeros

_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], tuple[int, ...]]] = WeakKeyDictionary()
SIGNS = ("Long, Int", "scalar types", "indices to be", "used as indices", "indices must be")
EXAMPLES = 4
SEVERAL = (
    "Give all inputs that forward() takes: as attribute example of its factory, as in factory.example = (x, y), by data whose samples are "
    "tuples or dicts, or their shapes, as in input_shape = ((3, 32, 32), (5,))"
)


def form_for(model: nn.Module, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return what a model takes, as :func:`prunekit.tasks.input_form.form_of` does; of whole numbers where it does not take others.

    Raises
    ------
    ModelError
        If nobody says it.
    """
    form = form_of(model, shape)
    if isinstance(form, InputForm) or not any(isinstance(module, (nn.Embedding, nn.EmbeddingBag)) for module in model.modules()):
        return form
    known = _FOUND.setdefault(model, {})
    if form not in known:
        known[form] = _whole(model, form)
    return known[form]


def _whole(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
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
