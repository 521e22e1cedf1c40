"""The smallest inputs on which a model still does all that it does at its own size: what a proof takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from prunekit.models.meta_copy import Seeing, locating, meta_copy
from prunekit.models.meta_operations import without_values
from prunekit.pruning.structured.axis_tracker import Call, Calls
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.tasks.input_form import InputForm, answer, zeros

LEAST_SIDE = 48  # fewer pixels a side are not looked for
LEAST_MACS = 2**26  # below that the pass is over before a smaller one is found
_FOUND: WeakKeyDictionary[ChannelGraph, tuple[int, ...]] = WeakKeyDictionary()


def smallest(model: nn.Module, graph: ChannelGraph) -> tuple[int, ...]:
    """Return the shape of a sample, its sides halved as often as the model runs the same operations in the same order of every module.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    graph : ChannelGraph
        Of its couplings, which tells what it does on a sample of its own size.
    """
    shape = graph.input_shape
    if isinstance(shape, InputForm) or sum(graph.macs.values()) < LEAST_MACS:
        return shape
    if graph not in _FOUND:
        candidates = list(_halved(shape))
        meta = meta_copy(model) if candidates else model
        _FOUND[graph] = next((each for each in reversed(candidates) if _alike(meta, each, graph)), shape)
    return _FOUND[graph]


def _halved(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield shapes of half, a quarter, ... of the sides that are long enough for it."""
    while any(side // 2 >= LEAST_SIDE for side in shape[1:]):
        shape = (shape[0], *(side // 2 if side // 2 >= LEAST_SIDE else side for side in shape[1:]))
        yield shape


def _alike(meta: nn.Module, shape: tuple[int, ...], graph: ChannelGraph) -> bool:
    """Return whether a model runs the operations of its own size on another."""
    listing, inputs = _Listing(), zeros(meta, shape, 2).to("meta")
    try:
        with torch.no_grad(), locating(meta, listing.calls.enter), listing:
            answer(meta, inputs)
    except Exception:  # whatever it says of inputs of that size
        return False
    return listing.made == graph.facts.records.keys()


class _Listing(Seeing):
    """Notes which operations run, of their shapes alone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = Calls()
        self.made = set[Call]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        self.made.add(self.calls.next(func.overloadpacket.__name__, args))
        return without_values(func, args, kwargs or {})
