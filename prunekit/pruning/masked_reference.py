"""The masked dense model as reference for the smaller one: zeroed weights, and norms over kept channels alone.

Zeroing removed channels is enough for most networks. A layer norm or group norm takes statistics over channels, so that zeros would
count; a product of two activations needs removed channels to be zero there, which a sigmoid of zero is not. Both are seen to in the dense
model's forward pass, operation by operation, without touching the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode

from prunekit.models.meta_copy import Seeing, copied, locating
from prunekit.models.outputs import answers_of
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.operation_calls import Calls, Notes
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor, owner_of, state_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import answer

aten = torch.ops.aten


class _Reference(Seeing):
    """Runs some operations on kept channels alone."""

    def __init__(self, plan: Removal, notes: Notes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.notes, self.calls = notes, Calls()
        self._gone = torch.from_numpy(plan.gone)
        self._label = plan.graph.solution.label
        self._inside = False

    def enter(self, name: str) -> None:
        """Note which module runs; what is done before the model's own is none of its calls."""
        self._inside = True
        self.calls.enter(name)

    def gone(self, ids: Ids) -> Tensor:
        """Return which elements of an axis go."""
        return self._gone[torch.from_numpy(self._label[ids])]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        if not self._inside:
            return func(*args, **(kwargs or {}))
        call = self.calls.next(func.overloadpacket.__name__, args)
        found = list(args)
        for place, axis, ids in self.notes.inputs.get(call, ()):
            found[place] = _without(found[place], axis, self.gone(ids))
        for axis, ids in self.notes.statistics.get(call, ()):
            found[0] = found[0].index_select(axis, (~self.gone(ids)).nonzero()[:, 0].to(found[0].device))
        if call in self.notes.choices:
            axis, ids = self.notes.choices[call]
            found[0] = _without(found[0], axis, self.gone(ids), float("-inf"))
        if call in self.notes.norms:
            ids, groups = self.notes.norms[call]
            gone = self.gone(ids)
            if bool(gone.any()):
                return NORMS[func.overloadpacket](found, ~gone, groups)
        out = func(*found, **(kwargs or {}))
        for axis, ids in self.notes.outputs.get(call, ()):
            out = _without(out, axis, self.gone(ids))
        return out


def _without(x: Tensor, axis: int, gone: Tensor, value: float = 0.0) -> Tensor:
    """Return a tensor with zeros, or another value, where an axis's elements go."""
    if not bool(gone.any()) or x.shape[axis] != gone.numel():
        return x
    shape = [1] * x.dim()
    shape[axis] = -1
    return x.masked_fill(gone.to(x.device).view(shape), value)


def _layer_norm(args: list[Any], stays: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise the last axis by the statistics of kept channels; zero elsewhere."""
    x, _, weight, bias, eps = args
    stays = stays.to(x.device)
    mean = (x * stays).sum(-1, keepdim=True) / stays.sum()
    scale = ((x - mean).square() * stays).sum(-1, keepdim=True).div(stays.sum()).add(eps).rsqrt()
    return _affine((x - mean) * scale, weight, bias, -1).masked_fill(~stays, 0), mean, scale


def _rms_norm(args: list[Any], stays: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Divide by the root of the mean square of kept channels; zero elsewhere."""
    x, _, weight, eps = args
    stays = stays.to(x.device)
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    scale = (x.square() * stays).sum(-1, keepdim=True).div(stays.sum()).add(eps).rsqrt()
    return _affine(x * scale, weight, None, -1).masked_fill(~stays, 0), scale


def _group_norm(args: list[Any], stays: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each group by the statistics of its kept channels; zero elsewhere."""
    x, weight, bias, eps = args[0], args[1], args[2], args[7]
    parts, here = x.reshape(x.shape[0], groups, -1, *x.shape[2:]), stays.to(x.device).view(1, groups, -1, *[1] * (x.dim() - 2))
    over = tuple(range(2, parts.dim()))
    count = here.sum(over, keepdim=True).clamp(min=1) * parts[0, 0, 0].numel()
    mean = (parts * here).sum(over, keepdim=True) / count
    scale = ((parts - mean).square() * here).sum(over, keepdim=True).div(count).add(eps).rsqrt()
    found = _affine(((parts - mean) * scale).reshape(x.shape), weight, bias, 1)
    return found.masked_fill(~stays.to(x.device).view(1, -1, *[1] * (x.dim() - 2)), 0), mean.view(-1, groups), scale.view(-1, groups)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, axis: int) -> Tensor:
    """Scale and shift along an axis."""
    shape = [1] * x.dim()
    shape[axis] = -1
    x = x if weight is None else x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


Norm = Callable[[list[Any], Tensor, int], tuple[Tensor, ...]]
NORMS: dict[Any, Norm] = {aten.native_layer_norm: _layer_norm, aten.native_group_norm: _group_norm}
if hasattr(aten, "_fused_rms_norm"):
    NORMS[aten._fused_rms_norm] = _rms_norm


def reference(zeroed: nn.Module, plan: Removal, x: Batch | Tensor, notes: Notes | None = None) -> list[Tensor]:
    """Return the outputs that the smaller model has to give."""
    with torch.no_grad(), _passing_by(zeroed, plan), nullcontext() if zeroes_do(plan, notes) else as_smaller(zeroed, plan, notes):
        return answers_of(answer(zeroed, x))


@contextmanager
def _passing_by(model: nn.Module, plan: Removal) -> Iterator[None]:
    """Pass the blocks by that go and would not hand their input on when all in them is zero."""

    def handed_on(_module: nn.Module, args: tuple[Any, ...], _out: Any) -> Any:
        return args[0]

    going = [block.name for block in plan.graph.blocks if block.name in plan.blocks and not block.exact]
    handles = [model.get_submodule(name).register_forward_hook(handed_on) for name in going]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def as_smaller(zeroed: nn.Module, plan: Removal, notes: Notes | None = None) -> Iterator[None]:
    """Let one forward pass of a model in which everything that goes is zero compute what the smaller model does."""
    mode = _Reference(plan, notes or plan.graph.facts.notes)
    # with any torch-function mode on, attention takes the path whose single operations can be seen
    with locating(zeroed, mode.enter), BaseTorchFunctionMode(), mode:
        yield


def zeroes_do(plan: Removal, notes: Notes | None = None) -> bool:
    """Return whether zeroing removed channels makes the dense model equal to the smaller one: no norm is over them, for one."""
    notes = notes or plan.graph.facts.notes
    looked_at = [ids for ids, _ in notes.norms.values()]
    looked_at += [ids for _, ids in notes.choices.values()]
    looked_at += [ids for found in notes.inputs.values() for _, _, ids in found]
    looked_at += [ids for found in (*notes.outputs.values(), *notes.statistics.values()) for _, ids in found]
    return not any(plan.gone[plan.graph.solution.label[ids]].any() for ids in looked_at)


Keeps = dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]]  # axis -> which of its elements stay


def removed_mask(shape: tuple[int, ...], keeps: Keeps) -> Tensor:
    """Return which elements of a tensor go: those on a removed index of any axis."""
    gone = torch.zeros(shape, dtype=torch.bool)
    for axis, keep in keeps.items():
        view = [1] * len(shape)
        view[axis] = -1
        gone |= torch.from_numpy(~keep).view(view)
    return gone


def zeroed(model: nn.Module, plan: Removal) -> nn.Module:
    """Return a dense copy of a model in which everything that a plan removes is zero."""
    dense = copied(model)
    Zeroing(dense, plan).set(0.0)
    return dense


class Zeroing:
    """What a plan removes of a model, to be set: to zero, or what is zero to another value, in place.

    Of finite numbers by a product or a sum over each axis, which is several times sooner than by a mask.
    """

    def __init__(self, model: nn.Module, plan: Removal) -> None:
        self.numbers, self.stay, self.others = list[Tensor](), list[Tensor](), list[tuple[Tensor, Tensor]]()
        state = dict(state_of(model))
        for (name, axis), keep in plan.masks.items():
            tensor = state[name]
            view = [1] * tensor.dim()
            view[axis] = -1
            stays = torch.from_numpy(keep).to(tensor.device).view(view)
            if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
                self.numbers.append(tensor)
                self.stay.append(stays)
            else:
                self.others.append((tensor, ~stays))  # it may hold infinities
        # a parameter may have no axes, such as one scale of a whole branch
        self.whole = [parameter for name in plan.blocks for parameter in model.get_submodule(name).parameters()]
        found = ((state[name], cut) for name, cut in plan.by_weight.items())
        self.rows = [(table, cut, torch.from_numpy(np.flatnonzero(~cut.keep)).to(table.device)) for table, cut in found]
        self.own = [table.detach()[gone] for table, _, gone in self.rows]

    def set(self, value: float) -> None:
        """Set it; rows of tables to what is shared for zero, and back to their own for anything else."""
        with torch.no_grad():
            for (table, _, gone), own in zip(self.rows, self.own, strict=True):
                table.index_copy_(0, gone, own)
            if self.numbers and value:
                torch._foreach_add_(self.numbers, [~stays for stays in self.stay], alpha=value)
            elif self.numbers:
                torch._foreach_mul_(self.numbers, self.stay)
            for tensor, gone in self.others:
                tensor.masked_fill_(gone, value)
            for parameter in self.whole:
                parameter.fill_(value)
            for table, cut, gone in () if value else self.rows:
                table[gone] = cut.shared(table)


def amplify(model: nn.Module, plan: Removal, factor: float) -> None:
    """Scale what goes, in place, so that its absence shows in the output of a large network."""
    with torch.no_grad():
        for name, keeps in by_tensor(plan.masks).items():
            module, attribute = owner_of(model, name)
            tensor = getattr(module, attribute)
            if tensor.is_floating_point() and attribute != "running_var":
                gone = removed_mask(tuple(tensor.shape), keeps).to(tensor.device)
                tensor[gone] *= factor
