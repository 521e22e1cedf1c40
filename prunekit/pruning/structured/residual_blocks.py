"""Residual blocks that can go as a whole: what is left of ``x + f(x)`` without ``f`` is ``x``.

While the model runs once without values, each module whose first input is a tensor is read as if all its parameters were zero. Two
things are then known of a tensor inside it: that it is zero, or that it is the module's input again, perhaps behind an activation. A
module whose output is its input again, and that adds something to it, is a residual block whose shapes allow it to go. So is a layer of a
stack of layers built alike that add to their input and normalise the sum, as in BERT: what goes is passed by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.models.identity_blocks import PASSES
from prunekit.pruning.structured.operation_calls import tensors_in

aten = torch.ops.aten
ZERO, SAME = "zero", "Identity"

ACTIVATIONS = {
    aten.relu: "ReLU",
    aten.silu: "SiLU",
    aten.gelu: "GELU",
    aten.hardswish: "Hardswish",
    aten.sigmoid: "Sigmoid",
    aten.tanh: "Tanh",
}
ACTIVATIONS |= {getattr(aten, f"{name}_"): kind for name, kind in (("relu", "ReLU"), ("silu", "SiLU"), ("hardswish", "Hardswish"))}
AT_ZERO = {"ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "Tanh"}  # zero of zero
TWICE = {"ReLU", "ReLU6"}  # a second time changes nothing
PASSING = {aten.max_pool2d_with_indices, aten.view, aten._unsafe_view, aten.clone, aten.dropout}  # what is not negative stays so
VIEWS = {aten.view, aten._unsafe_view}  # another shape, the elements in the same order
UNCHANGED = VIEWS | {aten.clone, aten.alias, aten.detach, aten.contiguous, aten.lift_fresh, aten.expand}
LINEAR = UNCHANGED | {
    *(aten.t, aten.transpose, aten.permute, aten.slice, aten.select, aten.split, aten.split_with_sizes, aten.unbind, aten.unsqueeze),
    *(aten.squeeze, aten.as_strided, aten.roll, aten.mean, aten.sum, aten.neg, aten.cat, aten.stack, aten._adaptive_avg_pool2d),
    *(aten.avg_pool2d, aten.avg_pool1d, aten.max_pool2d_with_indices, aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.chunk),
    *(aten.leaky_relu, aten.leaky_relu_, aten.elu, aten.elu_, aten.abs, aten._to_copy, aten.unsafe_split, aten.unsafe_chunk),
}
PRODUCTS = {aten.mul, aten.mul_, aten.mm, aten.bmm, aten.matmul, aten.dot, aten.mv}
SUMS = {aten.add, aten.add_}


@dataclass(frozen=True)
class Block:
    """A residual block that can go as a whole.

    Attributes
    ----------
    name : str
        Of its module.
    becomes : str
        What stands there afterwards: Identity (PassThrough where more than one thing enters), or the activation behind the sum.
    layers : tuple of str
        Prunable layers in it, in order of definition.
    exact : bool
        Whether it hands its input on when all its parameters are zero. A layer that is normalised behind its sum does not: the dense
        model is compared with one that passes it by.
    """

    name: str
    becomes: str
    layers: tuple[str, ...] = ()
    exact: bool = True


@dataclass
class _Frame:
    """One module that runs: what is known of the tensors in it if all its parameters are zero."""

    name: str
    shape: torch.Size
    idle: str | None  # the activation that its input has passed already
    parameters: dict[int, str]  # of the whole model, by id: their names
    known: dict[int, str]
    held: list[Any] = field(default_factory=list)  # so that no id is given twice
    summed: bool = False
    alone: bool = True  # whether nothing else entered

    def told(self, tensor: Tensor) -> str | None:
        """Return what is known of a tensor."""
        found = self.known.get(id(tensor))
        if found is None and self.parameters.get(id(tensor), "").startswith(f"{self.name}."):
            return ZERO
        return found

    def note(self, outcome: list[Tensor], what: str | None) -> None:
        """Remember what is known of the outcome of an operation."""
        for tensor in outcome:
            if what is None:
                self.known.pop(id(tensor), None)
            else:
                self.known[id(tensor)] = what
                self.held.append(tensor)


class Blocks:
    """Watches one forward pass for residual blocks."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._parameters = {id(parameter): name for name, parameter in model.named_parameters()}
        self._frames: list[_Frame | None] = []
        self._found: dict[str, str] = {}
        self._passing: dict[str, str] = {}  # modules that add to their input and hand on as much, and what would pass them by
        self._runs: Counter[str] = Counter()
        self._after: dict[int, tuple[Tensor, str]] = {}  # tensors behind an activation that a second time would not change

    @property
    def found(self) -> tuple[Block, ...]:
        """The smallest blocks that can go, in order of definition."""
        order = [name for name, _ in self.model.named_modules() if self._runs[name] == 1 and name in self._found]
        everywhere = _entries(self.model)
        names = [name for name in order if all(everywhere[k] == n for k, n in _entries(self.model.get_submodule(name)).items())]
        smallest = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
        stacked = {name for stack in self._stacks() for name in stack if not any(f"{other}.".startswith(f"{name}.") for other in smallest)}
        going = (name for name, _ in self.model.named_modules() if name in smallest | stacked)
        return tuple(
            Block(name, self._found[name]) if name in smallest else Block(name, self._passing[name], exact=False) for name in going
        )

    def _stacks(self) -> Iterator[list[str]]:
        """Yield stacks of layers that are built alike, add to their input, and run once each."""
        for name, module in self.model.named_modules():
            if not isinstance(module, (nn.ModuleList, nn.Sequential)) or len(module) < 2:
                continue
            names = [f"{name}.{child}" if name else child for child, _ in module.named_children()]
            forms = {(type(each), *(tuple(p.shape) for p in each.parameters())) for each in module}
            if len(forms) == 1 and all(self._runs[each] == 1 and each in self._passing for each in names):
                yield names

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow which modules run; by hooks on this very copy."""
        handles = []
        for name, module in self.model.named_modules():
            # another's hook may change what enters
            program = isinstance(module, torch.jit.ScriptModule)  # takes no hooks
            if name and not program and next(module.children(), None) is not None and not module._forward_pre_hooks:
                handles += _hooked(self, name)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def enter(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note that a module starts."""
        self._runs[name] += 1
        if not args or not isinstance(args[0], Tensor):
            self._frames.append(None)
            return
        x, alone = args[0], len(args) == 1 and not kwargs
        idle = self._after.get(id(x), (x, None))[1]
        self._frames.append(_Frame(name, x.shape, idle, self._parameters, {id(x): SAME}, [x], alone=alone))

    def leave(self, out: Any) -> None:
        """Note that a module ends, and what it gives."""
        frame = self._frames.pop()
        if frame is None or not isinstance(out, Tensor) or not frame.summed or out.shape != frame.shape:
            return
        what = frame.known.get(id(out))
        self._passing[frame.name] = SAME if frame.alone else PASSES
        if what in {None, ZERO}:
            return
        if what in {SAME, frame.idle}:
            self._found[frame.name] = self._passing[frame.name]
        elif frame.alone:
            self._found[frame.name] = str(what)

    def see(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Note an operation."""
        kind = _activation(operation, args, kwargs)
        first = id(args[0]) if args and isinstance(args[0], Tensor) else 0
        if kind in TWICE or (operation in PASSING and first in self._after):
            kept = kind if kind in TWICE else self._after[first][1]
            self._after |= {id(t): (t, kept) for t in tensors_in(out)[:1]}
        elif isinstance(out, Tensor):
            self._after.pop(id(out), None)  # changed in place
        tensors = tensors_in(args)
        outcome = tensors_in(out[:1] if isinstance(out, tuple) else out)  # a norm's statistics, a pool's indices are not asked for
        for frame in self._frames:
            if frame is not None:
                told = [frame.told(t) for t in tensors]
                plain = any(told) and kwargs.get("alpha", 1) == 1  # a sum may scale its second part
                frame.note(outcome, _known(frame, operation, kind, args, out, told) if plain else None)


def _entries(model: nn.Module) -> Counter[int]:
    """Count in how many places each parameter and module of a model stands."""
    found = [*model.named_parameters(remove_duplicate=False), *model.named_modules(remove_duplicate=False)]
    return Counter(id(entry) for _, entry in found)


def _hooked(blocks: Blocks, name: str) -> list[Any]:
    """Follow one module."""
    module = blocks.model.get_submodule(name)

    def enter(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        blocks.enter(name, args, kwargs)

    def leave(_m: nn.Module, _a: Any, out: Any) -> None:
        blocks.leave(out)

    return [module.register_forward_pre_hook(enter, with_kwargs=True), module.register_forward_hook(leave, always_call=True)]


def _activation(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the activation that an operation is, in the form that its class has by default."""
    if operation in {aten.hardtanh, aten.hardtanh_}:
        return "ReLU6" if tuple(args[1:3]) == (0.0, 6.0) else None
    if operation is aten.gelu and kwargs.get("approximate", "none") != "none":
        return None
    return ACTIVATIONS.get(operation)


def _known(  # noqa: PLR0917 (an operation, and what is told of its arguments)
    frame: _Frame, operation: Any, kind: str | None, args: tuple[Any, ...], out: Any, told: list[str | None]
) -> str | None:
    """Return what is known of the outcome of an operation, if anything; ``told`` says what is of its tensors."""
    first = told[0]
    if kind is not None:
        if first == ZERO:
            return ZERO if kind in AT_ZERO else None
        return kind if first == SAME or (first == kind and kind in TWICE) else None
    if operation in SUMS:
        return _sum(frame, args, told, out)
    if operation in UNCHANGED and first not in {None, ZERO}:
        return first if operation in VIEWS or (isinstance(out, Tensor) and out.shape == args[0].shape) else None
    return ZERO if _zero(operation, told, frame, args) else None


def _sum(frame: _Frame, args: tuple[Any, ...], told: list[str | None], out: Tensor) -> str | None:
    """Return what a sum is: zero adds nothing."""
    if len(told) != 2 or ZERO not in told or None in told:
        return None
    rest = told[1] if told[0] == ZERO else told[0]
    if rest == ZERO:
        return ZERO
    if out.shape != args[0 if told[1] == ZERO else 1].shape:
        return None  # repeated to fit
    frame.summed = True
    return rest


def _zero(operation: Any, told: list[str | None], frame: _Frame, args: tuple[Any, ...]) -> bool:
    """Return whether an operation gives zero."""
    is_zero = [value == ZERO for value in told]
    if operation in LINEAR:
        return all(is_zero)
    if operation in PRODUCTS:
        return any(is_zero)
    if operation in NEEDED:
        return any(all(_is_zero(frame, args, place) for place in places) for places in NEEDED[operation])
    if operation in AFFINE:
        weight, bias = AFFINE[operation]
        return len(args) > weight and args[weight] is not None and _is_zero(frame, args, weight) and _is_zero(frame, args, bias)
    return operation is aten.constant_pad_nd and is_zero[0] and not any(args[2:3])


def _is_zero(frame: _Frame, args: tuple[Any, ...], place: int) -> bool:
    """Return whether an argument is zero, or left out."""
    value = args[place] if place < len(args) else None
    return value is None or (isinstance(value, Tensor) and frame.told(value) == ZERO)


# which arguments have to be zero, one of several choices of them
NEEDED: dict[Any, tuple[tuple[int, ...], ...]] = {operation: ((0, 1), (0, 2)) for operation in (aten.addmm, aten.baddbmm, aten.addbmm)}
NEEDED |= {aten.convolution: ((0, 2), (1, 2)), aten.div: ((0,),), aten.native_dropout: ((0,),)}
NEEDED |= {
    getattr(aten, name): ((2,),)
    for name in (
        "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention", "_scaled_dot_product_attention_math",
        "_scaled_dot_product_flash_attention", "scaled_dot_product_attention",
    )
    if hasattr(aten, name)
}  # fmt: skip
AFFINE = {
    aten.native_batch_norm: (1, 2),
    aten.native_layer_norm: (2, 3),
    aten.native_group_norm: (1, 2),
    aten._native_batch_norm_legit_no_training: (1, 2),
}
if hasattr(aten, "_fused_rms_norm"):
    AFFINE[aten._fused_rms_norm] = (2, 99)
