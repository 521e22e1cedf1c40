"""A copy of a model without values, and where a forward pass is at the moment."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map_only

from prunekit.errors import ModelError

PRUNABLE_TYPES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def check_plain(model: nn.Module) -> None:
    """Raise unless every prunable layer holds its weight as a plain parameter.

    A weight that is computed from others (weight norm, ``torch.nn.utils.prune``, parametrizations) is overwritten at the next forward pass,
    so that a mask on it would be lost without a word.

    Raises
    ------
    ModelError
        Naming the first layer and what to call.
    """
    for name, module in model.named_modules():
        if any(is_lazy(p) for p in module.parameters(recurse=False)):  # type: ignore[no-untyped-call]
            raise ModelError(f"layer {name} has no shape yet (a lazy module): run one batch through the model first")
        if isinstance(module, PRUNABLE_TYPES) and "weight" not in module._parameters:
            raise ModelError(
                f"the weight of layer {name} is computed from other parameters: make it plain first, with torch.nn.utils.prune.remove, "
                "torch.nn.utils.remove_weight_norm or torch.nn.utils.parametrize.remove_parametrizations"
            )


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model on the meta device; tied parameters stay tied.

    Parameters
    ----------
    model : nn.Module
        Not modified.

    Returns
    -------
    nn.Module
        In evaluation mode, its parameters without gradients. No value is copied, so a large model costs no memory.

    Raises
    ------
    ModelError
        If a layer's weight is not a plain parameter.
    """
    check_plain(model)
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo).eval()


aten = torch.ops.aten
ALIKE = {aten.gelu, aten.silu, aten.hardswish, aten.hardsigmoid, aten.hardtanh, aten.relu, aten.sigmoid}


def without_values(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation for a dispatch mode; on meta tensors, what only has to have a shape is made straight away.

    The meta kernels of these operations are decompositions in Python, and would take most of the time of a forward pass.
    """
    operation = func.overloadpacket
    if not args or not isinstance(args[0], Tensor) or not args[0].is_meta or (func._schema.is_mutable and operation is not BATCH_NORM):
        return func(*args, **kwargs)
    x = args[0]
    if operation in ALIKE:
        return torch.empty_like(x)
    if operation is BATCH_NORM:
        return torch.empty_like(x), x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    if operation is LAYER_NORM:
        lead = (*x.shape[: x.dim() - len(args[1])], *[1] * len(args[1]))
        return torch.empty(x.shape, dtype=x.dtype, device="meta"), x.new_empty(lead), x.new_empty(lead)
    return _with_constants(func, args, kwargs)


def _with_constants(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation; tensors that forward() makes on the CPU lose their values where they meet the others."""
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        if "device" not in str(error) or func._schema.is_mutable:
            raise
        moved = tree_map_only(Tensor, lambda t: t.to("meta") if t.device.type == "cpu" else t, (args, kwargs))
        return func(*moved[0], **moved[1])


BATCH_NORM, LAYER_NORM = aten.native_batch_norm, aten.native_layer_norm


@contextmanager
def locating(model: nn.Module, at: Callable[[str], None]) -> Iterator[None]:
    """Call ``at(name)`` whenever another module of ``model`` starts or goes on; by hooks on this very copy, not on all modules."""
    stack: list[str] = []
    handles = []
    for name, module in model.named_modules():

        def enter(_m: nn.Module, _a: Any, name: str = name) -> None:
            stack.append(name)
            at(name)

        def leave(_m: nn.Module, _a: Any, _o: Any) -> None:
            stack.pop()
            at(stack[-1] if stack else "")

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
