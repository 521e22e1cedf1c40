"""Which layers a pass calls, with what, and what each call costs: so that every layer can be timed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from prunekit.errors import LatencyError, one_of
from prunekit.runtimes import backends
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import answer

RUNTIMES = tuple(name for name, runtime in backends.RUNTIMES.items() if runtime.by_layer)


def prepare(model: nn.Module, x: Batch, runtime: str) -> tuple[Batch, dict[str, nn.Module]]:
    """Make a model ready for a runtime, in place; return the batch as that takes it, and the layers that were replaced, by name."""
    one_of("runtime", runtime, RUNTIMES, LatencyError)
    ready = backends.RUNTIMES[runtime].by_layer
    assert ready is not None  # those of RUNTIMES have it
    return ready(model, x)


MEASURED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.EmbeddingBag)


Call = tuple[tuple[Any, ...], dict[str, Any]]
Pool = dict[tuple[Any, ...], Tensor]  # one floating tensor for all inputs of one layout: values do not matter to a dense kernel's time


@dataclass
class Captured:
    """One layer of one pass."""

    name: str  # name, type: module name, and the class that it had before pruning or any runtime changed it
    type: str
    module: nn.Module
    calls: list[Call] = field(default_factory=list)
    # macs, bytes, fresh: of all calls: multiply-accumulates by shapes; bytes of weights (of tables: of the rows that are looked up) and
    # inputs read and outputs written; those of the outputs alone
    macs: float = 0.0
    bytes: float = 0.0
    fresh: float = 0.0
    zeros: float = 0.0
    channels: tuple[int, int] = (0, 0)  # inputs and outputs; of a table the numbers of a row, twice
    fan_in: float = 0.0  # weights that go into one element of the output
    sparse: bool = False
    rows: int = 0  # of a table; 0 of any other layer

    def run(self) -> Callable[[], object]:
        """Return a function that calls the layer as often as one pass does, on what it was given there."""
        module, calls = self.module, self.calls
        if len(calls) == 1 and len(calls[0][0]) == 1 and not calls[0][1]:
            (x,) = calls[0][0]
            return lambda: module(x)
        return lambda: [module(*args, **kwargs) for args, kwargs in calls]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = ("name", "type", "macs", "bytes", "fresh", "zeros", "sparse", "rows")
        return {key: getattr(self, key) for key in plain} | {"channels": list(self.channels)}


def layers_of(model: nn.Module) -> list[Captured]:
    """Return the convolutions, linear layers and embedding tables of a dense model, each module once, with what is known of its weights."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, MEASURED):
            weight, fan_in, rows = module.weight.detach(), float(module.weight[0].numel()), 0
            zeros = 1 - int(torch.count_nonzero(weight)) / max(weight.numel(), 1)
            if isinstance(module, nn.Linear):
                channels = module.in_features, module.out_features
            elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
                channels, fan_in, rows = (module.embedding_dim, module.embedding_dim), 0.0, len(weight)
            else:
                channels = module.in_channels, module.out_channels
            kind = next(base.__name__ for base in type(module).__mro__ if base.__module__.startswith("torch.nn"))
            found.append(Captured(name, kind, module, zeros=zeros, channels=channels, fan_in=fan_in, rows=rows))
    return found


def capture(model: nn.Module, layers: list[Captured], x: Batch | Tensor, swapped: Mapping[str, nn.Module], pool: Pool) -> list[Captured]:
    """Run a model once and note what each layer is called with.

    ``x`` [N, ...]: what it is given. Those that the pass called as modules. What it calls in another way (attention by function) belongs to
    what lies between.
    """
    hooks = []
    for layer in layers:
        layer.module, layer.sparse = swapped.get(layer.name, layer.module), layer.name in swapped
        hooks.append(layer.module.register_forward_hook(_note(layer, _bytes(layer.module), pool), with_kwargs=True))
    try:
        answer(model, x)
    finally:
        for hook in hooks:
            hook.remove()
    return [layer for layer in layers if layer.calls]


def _note(layer: Captured, read: float, pool: Pool) -> Callable[..., None]:
    """Return the hook that notes a call: its arguments, and its cost by the shape of its output."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        inputs, outputs = ([t for t in tree_leaves(tree) if isinstance(t, Tensor)] for tree in ((args, kwargs), out))
        layer.calls.append(tree_map_only(Tensor, lambda t: _pooled(t, pool), (args, kwargs)))
        layer.macs += layer.fan_in * sum(t.numel() for t in outputs)
        written = sum(t.numel() * t.element_size() for t in outputs)
        layer.fresh += written
        looked_up = layer.channels[1] * inputs[0].numel() * layer.module.weight.element_size() if layer.rows else 0  # type: ignore[operator, union-attr]
        layer.bytes += (looked_up or read) + written + sum(t.numel() * t.element_size() for t in inputs)

    return hook


def _pooled(tensor: Tensor, pool: Pool) -> Tensor:
    """Return the first floating tensor of this layout that was seen; ids are looked up as they are."""
    if not tensor.is_floating_point():
        return tensor.detach()
    return pool.setdefault((tuple(tensor.shape), tensor.stride(), tensor.dtype), tensor.detach())


def _bytes(module: nn.Module) -> float:
    """Return the bytes of a layer's weight and bias, dense or CSR."""
    return float(sum(_size(t) for t in (module.weight, getattr(module, "bias", None)) if isinstance(t, Tensor)))


def _size(tensor: Tensor) -> int:
    """Return the bytes of one tensor."""
    parts = [tensor.values(), tensor.col_indices(), tensor.crow_indices()] if tensor.layout == torch.sparse_csr else [tensor]
    return sum(part.numel() * part.element_size() for part in parts)
