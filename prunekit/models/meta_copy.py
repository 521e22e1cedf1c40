"""A copy of a model without values, where a forward pass is at the moment, and every operation that it runs."""

from __future__ import annotations

import copyreg
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from prunekit.errors import ModelError
from prunekit.tasks.known_values import know
from prunekit.tasks.nested import named_tensors

PRUNABLE_TYPES = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag),
)


def check_plain(model: nn.Module) -> None:
    """Raise unless every prunable layer holds its weight as a plain parameter.

    A weight that is computed from others (weight norm, ``torch.nn.utils.prune``, parametrizations) is overwritten at the next forward pass,
    so that a mask on it would be lost without a word.
    """
    check_shaped(model)
    for name, module in model.named_modules():
        if isinstance(module, PRUNABLE_TYPES) and "weight" not in module._parameters:
            raise ModelError(
                f"the weight of layer {name} is computed from other parameters: make it plain first, with "
                "--remove-parametrizations on the command line, prunekit.remove_parametrizations(model) in Python, or torch's own functions"
            )


def check_shaped(model: nn.Module) -> None:
    """Raise unless every parameter has a shape."""
    for name, module in model.named_modules():
        if any(p is not None and is_lazy(p) for p in module._parameters.values()):  # type: ignore[no-untyped-call]
            raise ModelError(f"layer {name} has no shape yet (a lazy module): run one batch through the model first, in its factory")


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model on the meta device; tied parameters stay tied."""
    check_plain(model)
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in model.buffers():
        bare = torch.empty_like(buffer, device="meta")
        memo[id(buffer)] = bare if buffer.is_floating_point() or buffer.is_meta else know(bare, buffer)
    return copied(model, memo).eval()  # a scripted part copies its parameters itself, with their values


AS_IT_IS = {int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device, torch.jit.ScriptFunction}
EMPTY = {dict, OrderedDict, set}


def copied(model: nn.Module, memo: dict[int, object] | None = None) -> nn.Module:
    """Return a deep copy of a model: what ``copy.deepcopy`` gives, several times sooner.

    Most of what a module holds are empty tables of hooks and plain numbers, and ``copy`` goes through its whole protocol for each of
    them. A model in which a module says itself how it is copied is left to it.
    """
    memo = {} if memo is None else memo
    states = [(module, _state_of(module)) for module in model.modules() if id(module) not in memo]
    if any(state is None for _, state in states):
        held = (value for module, _ in states for value in vars(module).values())
        return deepcopy(model, memo | {id(value): value for value in held if isinstance(value, torch.jit.ScriptFunction)})
    for module, _ in states:  # first all of them, empty: they may refer to each other
        memo[id(module)] = type(module).__new__(type(module))
    for module, state in states:
        new: Any = memo[id(module)]
        new.__setstate__(_copied_value(state, memo))
    found = memo[id(model)]
    assert isinstance(found, nn.Module)
    return found


def _state_of(module: nn.Module) -> dict[str, Any] | None:
    """Return what a module is copied by; None where it has a way of its own."""
    reduced = None if hasattr(module, "__deepcopy__") else module.__reduce_ex__(4)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return None
    plain = reduced[1] == (type(module),) and type(reduced[2]) is dict and all(part is None for part in reduced[3:])
    return reduced[2] if plain else None


def _copied_value(value: Any, memo: dict[int, object]) -> Any:
    """Return a deep copy of what a module holds: by the shortest way for what most modules hold."""
    kind = type(value)
    if kind in AS_IT_IS or (kind is tuple and all(type(part) in AS_IT_IS for part in value)):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor) and not value.is_leaf:  # kept of a forward pass: what it comes of does not matter
        return memo.setdefault(id(value), value.detach().clone())
    if kind in EMPTY and not value:
        return memo.setdefault(id(value), kind())
    if kind is dict and all(type(key) is str for key in value):
        return _copied_table(value, memo)
    for _, tensor in named_tensors(value, ""):
        if not tensor.is_leaf:
            memo.setdefault(id(tensor), tensor.detach().clone())
    return deepcopy(value, memo)


def _copied_table(table: dict[str, Any], memo: dict[int, object]) -> dict[str, Any]:
    """Return a deep copy of a table, in which most values of a module are numbers and empty tables."""
    new: dict[str, Any] = {}
    memo[id(table)] = new
    for key, value in table.items():
        kind = type(value)
        if kind in AS_IT_IS:
            new[key] = value
        elif kind in EMPTY and not value and id(value) not in memo:
            new[key] = memo[id(value)] = kind()
        else:
            new[key] = _copied_value(value, memo)
    return new


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
            if stack:  # a hook of somebody else's may stop a module before it is entered
                stack.pop()
            at(stack[-1] if stack else "")

        if isinstance(module, torch.jit.ScriptModule):
            continue  # a program takes no hooks
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Seeing(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """A dispatch mode that torch does not wrap against `torch.compile`: nothing is compiled here, and wrapping loads the compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def outside_inference(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """Run an operation of a forward pass that is in inference mode out of it, taken apart as it is elsewhere."""
        with torch.inference_mode(False):
            with self:
                found = func.decompose(*args, **(kwargs or {}))
            return found if found is not NotImplemented else self.__torch_dispatch__(func, (), args, kwargs)  # type: ignore[no-untyped-call]
