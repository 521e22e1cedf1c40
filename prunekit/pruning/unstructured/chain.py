"""Chains of blocks in a model: one hands its output to the next, so that what enters the next can be kept and nothing runs twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.tasks.batch import Batch
from prunekit.tasks.nested import parts_of
from prunekit.tasks.protocol import Task


class Reached(Exception):
    """A forward pass has come as far as was asked."""


@dataclass(frozen=True)
class Chain:
    """Blocks that run once each, one after another."""

    blocks: tuple[str, ...]  # their modules, in the order in which they run; empty where a model has none
    before: tuple[str, ...]  # before, after: layers outside them, in the order in which they run; those that are not called as modules last
    after: tuple[str, ...]


@dataclass
class _Call:
    """What a module was called with, and what it gave."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any = None


def find_chain(model: nn.Module, layers: Sequence[str], task: Task, batch: Batch) -> Chain:
    """Return the chain of blocks that holds most of some layers, found by one forward pass."""
    modules = dict(model.named_modules())  # the other names are those of parameters
    owners = {name: name if name in modules else name.rpartition(".")[0] for name in layers}
    candidates = [
        [f"{name}.{child}" if name else child for child, _ in module.named_children()]
        for name, module in model.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(module) > 1
    ]
    blocks_of = {name for names in candidates for name in names}
    calls: list[_Call] = []
    with ExitStack() as hooks, torch.no_grad():
        for name in {*owners.values(), *blocks_of}:
            hooks.enter_context(_Recorded(model.get_submodule(name), name, calls, kept=name in blocks_of))
        task.forward(model, batch)
    order = [call.name for call in calls]
    chains = [names for names in candidates if _follow([call for call in calls if call.name in set(names)], names)]
    held = {tuple(names): sum(_inside(layer, names) for layer in layers) for names in chains}
    blocks = max(held, key=lambda names: held[names], default=())
    blocks = blocks if held.get(blocks) else ()
    outside = [name for name in layers if not _inside(name, blocks)]
    outside.sort(key=lambda name: order.index(owners[name]) if owners[name] in order else len(order))
    first = order.index(blocks[0]) if blocks else 0
    before = tuple(name for name in outside if owners[name] in order[:first])
    return Chain(blocks, before, tuple(name for name in outside if name not in before))


def _inside(layer: str, blocks: Iterable[str]) -> bool:
    """Return whether a layer stands in some blocks."""
    return any(layer == name or layer.startswith(f"{name}.") for name in blocks)


class _Recorded:
    """Notes what a module is called with and gives, for as long as it is entered; or only that it is called, for all of it takes memory."""

    def __init__(self, module: nn.Module, name: str, calls: list[_Call], *, kept: bool) -> None:
        self.module, self.name, self.calls, self.kept = module, name, calls, kept
        self.open: list[_Call] = []

    def __enter__(self) -> None:
        def before(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.open.append(_Call(self.name, args, kwargs) if self.kept else _Call(self.name, (), {}))
            self.calls.append(self.open[-1])

        def after(_m: nn.Module, _a: Any, out: Any) -> None:
            call = self.open.pop()
            call.out = out if self.kept else None

        self.handles = [
            self.module.register_forward_pre_hook(before, with_kwargs=True),
            self.module.register_forward_hook(after),
        ]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def _follow(calls: list[_Call], names: list[str]) -> bool:
    """Return whether blocks run once each in turn, each on what the one before gives and on nothing else that differs."""
    if [call.name for call in calls] != names or not all(call.args and isinstance(call.args[0], Tensor) for call in calls):
        return False
    handed = all(first_tensor(a.out) is b.args[0] for a, b in pairwise(calls))
    rest = [(*call.args[1:], *(call.kwargs[key] for key in sorted(call.kwargs))) for call in calls]
    same = all(len(each) == len(rest[0]) and all(map(_same, each, rest[0])) for each in rest)
    return handed and same and len({tuple(sorted(call.kwargs)) for call in calls}) == 1


def _same(one: Any, other: Any) -> bool:
    """Return whether two arguments are one: the same tensors, or equal plain values; anything that may change is not."""
    if isinstance(one, (tuple, list)):
        return isinstance(other, type(one)) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor) or one is None:
        return one is other
    return isinstance(one, (int, float, bool, str, torch.dtype)) and one == other


def first_tensor(out: Any) -> Any:
    """Return what a block hands on: its output, or the first part of it."""
    return out if isinstance(out, Tensor) else next((part for _, part in parts_of(out)), None) if parts_of(out) else None


def entering(model: nn.Module, block: str, task: Task, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a block is called with for a batch; the rest of the model is not run."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def stop(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))
        raise Reached

    handle = model.get_submodule(block).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        task.forward(model, batch)
    except Reached:
        pass
    finally:
        handle.remove()
    return found[0]
