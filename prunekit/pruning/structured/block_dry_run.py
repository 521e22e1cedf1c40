"""A rehearsal without values: does the model run with a stand-in where a block was? Python that reads a block's parts is seen here."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunekit.models.identity_blocks import replace_module, stand_in
from prunekit.models.meta_copy import Seeing, locating
from prunekit.models.meta_operations import without_values
from prunekit.pruning.structured.axis_tracker import Call, Calls
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.tasks.input_form import answer, zeros


class Quick(Seeing):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Runs operations on meta tensors, their shapes alone."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return without_values(func, args, kwargs or {}, most=True)


class Listing(Seeing):
    """Notes which operations run, of their shapes alone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.made = Calls(), set[Call]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        self.made.add(self.calls.next(func.overloadpacket.__name__, args))
        return without_values(func, args, kwargs or {}, most=True)


def listed(meta: nn.Module, shape: tuple[int, ...]) -> set[Call] | None:
    """Return the calls of a model's forward pass; None where it does not take such inputs."""
    listing = Listing()
    try:
        inputs = zeros(meta, shape, 2).to("meta")
        with torch.no_grad(), locating(meta, listing.calls.enter), listing:
            answer(meta, inputs)
    except Exception:  # whatever it says of them
        return None
    return listing.made


def without_which_it_runs(meta: nn.Module, blocks: tuple[Block, ...], input_shape: tuple[int, ...]) -> tuple[Block, ...]:
    """Return the blocks without which a model still runs."""
    if not blocks or _runs(meta, blocks, input_shape):
        return blocks
    return tuple(block for block in blocks if _runs(meta, (block,), input_shape))


def _runs(meta: nn.Module, blocks: tuple[Block, ...], input_shape: tuple[int, ...]) -> bool:
    """Return whether a model runs without some blocks."""
    old = {block.name: meta.get_submodule(block.name) for block in blocks}
    try:
        for block in blocks:
            replace_module(meta, block.name, stand_in(block.becomes))
        with torch.no_grad(), Quick():  # type: ignore[no-untyped-call]
            answer(meta, zeros(meta, input_shape, 2).to("meta"))
    except Exception:  # whatever stops it: the block has to stay
        return False
    finally:
        for name, module in old.items():
            replace_module(meta, name, module)
    return True
