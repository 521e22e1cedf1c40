"""Seeing the network: one forward pass on the meta device tells which channels are coupled.

Every operation is seen by a ``TorchDispatchMode``, below the model's Python: no symbolic tracing, so control flow that does not depend on
values is fine, and parameters are told apart by identity. Evaluation and training mode are solved together, keyed by parameter,
so that what only trains (auxiliary heads) shrinks along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import prunekit.pruning.rules  # noqa: F401 (fills the registry)
from prunekit.anatomy.meta import meta_copy
from prunekit.errors import PruningError
from prunekit.pruning.solve import Ids, Variables
from prunekit.pruning.tracker import RULES, Tracker, tensors_in, unknown

Axis = tuple[str, int]


@dataclass(frozen=True)
class Facts:
    """What one model's forward passes told.

    Attributes
    ----------
    variables : Variables
        The collected equalities and ORs.
    axes : dict
        (name in the state dict, axis) -> variables of that axis. Tied parameters appear under their first name.
    grouped : dict of str to ndarray
        Grouped convolutions by module name -> the variables of their groups.
    seen : set of str
        State names that took part in a forward pass.
    unknown : dict of str to str
        Operations without a rule -> the module they were met in.
    """

    variables: Variables
    axes: dict[Axis, Ids]
    grouped: dict[str, Ids]
    seen: set[str]
    unknown: dict[str, str]


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Applies the rule of every operation that runs."""

    def __init__(self, tracker: Tracker, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracker, self.names = tracker, names
        self.seen: set[str] = set()
        self.unknown: dict[str, str] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        inputs = tensors_in((args, kwargs))
        self.seen |= {self.names[id(t)] for t in inputs if id(t) in self.names}
        if any(axis is not None for t in inputs for axis in self.tracker.axes(t)):
            name = func.overloadpacket.__name__
            known = RULES.get(name) or RULES.get(name.rstrip("_"))
            if known is None:
                self.unknown.setdefault(name, self.tracker.where or "the model")
                unknown(self.tracker, name, args, kwargs)
            else:
                known(self.tracker, args, kwargs, out)
        return out


@contextmanager
def _locating(model: nn.Module, tracker: Tracker) -> Iterator[None]:
    """Keep ``tracker.where`` at the name of the module that is running."""
    stack: list[str] = []
    handles = []
    for name, module in model.named_modules():

        def enter(_m: nn.Module, _a: Any, name: str = name) -> None:
            stack.append(name)
            tracker.where = name

        def leave(_m: nn.Module, _a: Any, _o: Any) -> None:
            stack.pop()
            tracker.where = stack[-1] if stack else ""

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def observe(model: nn.Module, input_shape: tuple[int, ...]) -> Facts:
    """Run the model on the meta device and collect what its operations say about its channels.

    Parameters
    ----------
    model : nn.Module
        Not modified: a copy without values is run.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    Facts
        To be solved.

    Raises
    ------
    PruningError
        If the model does not run without values (its control flow depends on the data) or on this shape.
    """
    meta = meta_copy(model)
    variables = Variables()
    state = _state(meta)
    axes = {(name, axis): variables.fresh(size) for name, tensor in state.items() for axis, size in enumerate(tensor.shape)}
    tracker = Tracker(variables)
    for name, tensor in state.items():
        tracker.put(tensor, [axes[name, axis] for axis in range(tensor.dim())])
    watcher = _Watcher(tracker, {id(tensor): name for name, tensor in state.items()})
    _pass(meta, input_shape, tracker, watcher)
    if any(name not in watcher.seen for name, _ in meta.named_parameters()):
        _pass(meta.train(), input_shape, tracker, watcher)
    _freeze_single(variables, axes)
    return Facts(variables, axes, tracker.grouped, watcher.seen, watcher.unknown)


def _freeze_single(variables: Variables, axes: dict[Axis, Ids]) -> None:
    """Keep axes of one element: they would be emptied."""
    for found in axes.values():
        if found.size == 1:
            variables.freeze(found, "a single channel")


def _pass(meta: nn.Module, input_shape: tuple[int, ...], tracker: Tracker, watcher: _Watcher) -> None:
    """Run one forward pass and freeze what comes out."""
    dtype = next((p.dtype for p in meta.parameters()), torch.float32)
    try:
        with torch.no_grad(), _locating(meta, tracker), watcher:
            out = meta(torch.zeros(2, *input_shape, dtype=dtype, device="meta"))
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        place = f" in {tracker.where}" if tracker.where else ""
        raise PruningError(
            f"structured pruning has to see one forward pass without values, and it stopped{place}: {lines[0]}. "
            "Keep control flow independent of the data and sizes read from the input, or use mode unstructured"
        ) from error
    outputs = tensors_in(list(out.values()) if isinstance(out, dict) else out)
    tracker.where = ""
    for tensor in outputs:
        tracker.freeze(tensor, "these are the model's outputs")
