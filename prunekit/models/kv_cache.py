"""Reading one token after those whose keys and values are kept: how a language model writes a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.models.outputs import tensors_of
from prunekit.models.probe import rounding
from prunekit.models.wrappers import unwrapped
from prunekit.tasks.batch import Batch
from prunekit.tasks.text_inputs import ids_in

WITH_CACHE = "with_cache"
"""A model's own method that reads on: ``(ids, keys and values of each layer) -> (scores, all keys and values)``."""
LOST = "it keeps no keys and values of the tokens before: its class takes no cache, and it has no method with_cache"


class OneToken(nn.Module):
    """A language model that reads one token after others: ids [N, 1] and their keys and values to scores, and keys and values of all."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = unwrapped(model)
        if not callable(getattr(self.model, WITH_CACHE, None)) and not hasattr(self.model, "prepare_inputs_for_generation"):
            raise ModelError(LOST)

    def forward(self, ids: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        """Return scores [N, 1, vocabulary], then keys and values of each layer."""
        model: Any = self.model
        if callable(getattr(model, WITH_CACHE, None)):
            scores, past = model.with_cache(ids, cache)
            return (scores, *past)
        from transformers import DynamicCache  # noqa: PLC0415 (an extra)

        kept: Any = DynamicCache(config=model.config)
        for index, (key, value) in enumerate(zip(cache[::2], cache[1::2], strict=True)):
            _fill(kept, index, key, value)
        out = model(input_ids=ids, cache=kept, use_cache=True)
        return (out.logits, *(each for layer in kept.layers for each in (layer.keys, layer.values)))


def _fill(cache: Any, index: int, key: Tensor, value: Tensor) -> None:
    """Give a layer of a cache of transformers its keys and values; those of a plain one without copying them, as they lie there anyway."""
    layer: Any = cache.layers[index] if index < len(cache.layers) else None
    if type(layer).__name__ == "DynamicLayer":
        layer.lazy_initialization(key, value)
        layer.keys, layer.values = key, value
    else:
        cache.update(key, value, index)


def after_prompt(model: nn.Module, batch: Batch) -> Batch:
    """Return what `OneToken` takes for the last token of each text: its id, and keys and values of the tokens before it."""
    ids = ids_in(batch)
    if ids is None or ids.ndim != 2:
        raise ModelError("these inputs are no token ids [N, tokens]: one token at a time is for language models")
    if ids.shape[1] < 2:
        raise ModelError("one token at a time needs at least 2 tokens: one that is read, and one before it")
    step = OneToken(model)
    with torch.inference_mode():
        try:
            _, *kept = step(ids[:, :-1])
            alone, *_ = step(ids[:, -1:], *kept)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ModelError(f"it does not read one token after others ({' '.join(str(error).split())[:200]})") from error
        whole = next(each for each in tensors_of(model(*batch.args, **batch.kwargs)).values() if each.ndim == 3)
    off = float((alone[:, -1] - whole[:, -1]).abs().max() / whole[:, -1].abs().max().clamp(min=1e-6))
    if not kept or not off <= rounding(model):
        raise ModelError(f"with keys and values kept it gives other scores than without ({off:.1e} of the largest)")
    return Batch.of((ids[:, -1:].clone(), *(each.clone() for each in kept)))
