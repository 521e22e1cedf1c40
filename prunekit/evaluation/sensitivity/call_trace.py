"""What one forward pass does: which modules are called in which order, and which memory every operation reads and writes.

Memory is told apart by storage, so that views and in-place operations are seen for what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves
from torch.utils.flop_counter import flop_registry

from prunekit.models.meta_copy import Seeing, copied
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import answer

Path = tuple[int, ...]  # the place in the tree of calls: (0, 2, 1) is the second call within the third call of the model's own
Storages = frozenset[int]
Handler = Callable[[Path, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

PLAIN = (int, float, str, bool, type(None))
ELEMENT = 8  # operations that writing one element is worth beside arithmetic


class Working:
    """A copy of a model in which every module call goes through one place. ``model``: the copy, in eval mode."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copied(model).eval().requires_grad_(False)
        self._handler: Handler | None = None
        self._frames: list[list[Any]] = []

    def attach(self) -> None:
        """Put every module's call in our hands."""
        for name, module in self.model.named_modules():
            module.forward = partial(self._called, name, module.forward)

    def _called(self, name: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Hand a call to whoever listens, with its place in the tree."""
        if self._handler is None:
            return forward(*args, **kwargs)
        frame = self._frames[-1]
        path = (*frame[0], frame[1])
        frame[1] += 1
        self._frames.append([path, 0])
        try:
            return self._handler(path, name, forward, args, kwargs)
        finally:
            self._frames.pop()

    @contextmanager
    def listening(self, handler: Handler | None) -> Iterator[nn.Module]:
        """Give the copy, with every call inside the block handed to ``handler``."""
        self._handler, self._frames = handler, [[(), 0]]
        try:
            yield self.model
        finally:
            self._handler, self._frames = None, []


@dataclass(eq=False)
class Call:
    """One call of a module."""

    path: Path  # path, module: its place in the tree of calls, and the module's name
    module: str
    parent: int  # index of the call around it; -1 for the model's own
    start: int  # start, end: times
    end: int = -1
    # storage of each tensor that it returned, with the storage's bytes; None where it returned something that cannot be handed out again
    outputs: tuple[tuple[int, int], ...] | None = None
    cost: float = 0.0  # operations inside, roughly
    # created, written: storages that came to life inside; storages that were written to inside
    created: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Op:
    """One operation: when, inside which call, and which storages it touched and wrote."""

    time: int
    call: int
    touched: Storages
    written: Storages


@dataclass(frozen=True, eq=False)
class Watched:
    """One forward pass."""

    calls: tuple[Call, ...]  # in the order in which they began; the model's own first
    ops: tuple[Op, ...]
    state: dict[str, int]  # storage of each parameter and buffer, under all its names
    inputs: Storages  # storage of the samples
    samples: int

    @property
    def sequence(self) -> list[tuple[Path, str]]:
        """Return place and module of every call."""
        return [(call.path, call.module) for call in self.calls]


class _Watcher(Seeing):
    """Notes every call and every operation below it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.ops: list[Op] = []
        self.stack: list[int] = []
        self.time = 0
        self._alive: dict[int, Any] = {}  # storages are told apart by address, so none may die while we look

    def storage(self, tensor: Tensor) -> int:
        """Return what tells a tensor's memory from any other."""
        storage = tensor.untyped_storage()
        self._alive.setdefault(storage._cdata, storage)
        return int(storage._cdata)

    def tick(self) -> int:
        """Return the next moment."""
        self.time += 1
        return self.time

    def call(self, path: Path, name: str, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out a call and note it."""
        call = Call(path, name, self.stack[-1] if self.stack else -1, self.tick())
        self.calls.append(call)
        self.stack.append(len(self.calls) - 1)
        out = forward(*args, **kwargs)
        self.stack.pop()
        call.end, call.outputs = self.tick(), self._outputs(out)
        return out

    def _outputs(self, out: Any) -> tuple[tuple[int, int], ...] | None:
        """Return the storages of the tensors in what a call returned, or None where it holds something else."""
        leaves, _ = tree_flatten(out)
        if not all(isinstance(leaf, (Tensor, *PLAIN)) for leaf in leaves):
            return None
        return tuple((self.storage(t), t.untyped_storage().nbytes()) for t in leaves if isinstance(t, Tensor))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        read = {self.storage(t) for t in _tensors((args, kwargs))}
        out = func(*args, **kwargs)
        made = _tensors(out)
        new = {int(t.untyped_storage()._cdata) for t in made} - self._alive.keys()
        results = {self.storage(t) for t in made}
        written = {self.storage(t) for t in _written(func, args, kwargs)}
        self.ops.append(Op(self.tick(), self.stack[-1] if self.stack else 0, frozenset(read | results), frozenset(written)))
        self._credit(new, written, _cost(func, args, kwargs, out) + ELEMENT * sum(t.numel() for t in made))
        return out

    def _credit(self, created: set[int], written: set[int], cost: float) -> None:
        """Note an operation with every call that is under way."""
        for index in self.stack:
            self.calls[index].created |= created
            self.calls[index].written |= written
            self.calls[index].cost += cost


def _tensors(tree: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors that an operation writes to, as its schema says."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            yield from _tensors(value)


def _cost(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
    """Return the arithmetic of an operation where torch has a formula for it."""
    formula = flop_registry.get(func._overloadpacket)
    return 0.0 if formula is None else float(formula(*args, **kwargs, out_val=out))


def watch(working: Working, x: Batch | Tensor) -> Watched:
    """Run a model once and note what it does."""
    watcher = _Watcher()
    entries = [*working.model.named_parameters(remove_duplicate=False), *working.model.named_buffers(remove_duplicate=False)]
    state = {name: watcher.storage(tensor) for name, tensor in entries}
    batch = Batch.of(x)
    inputs = frozenset(watcher.storage(tensor) for _, tensor in batch.named_tensors())
    with torch.no_grad(), working.listening(watcher.call) as model, watcher:
        answer(model, batch)
    return Watched(tuple(watcher.calls), tuple(watcher.ops), state, inputs, batch.samples)
