"""A freshly built model brought to the widths of a smaller one, with that one's values: no tensor of a new shape is ever without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from prunekit.errors import CheckpointError
from prunekit.models.attention.heads import DENSE, adapt, adapter_of
from prunekit.models.attention.transformers_sizes import keep_in_step
from prunekit.models.identity_blocks import replace_module, stand_in
from prunekit.models.layers import LOOKED_UP
from prunekit.models.shared_rows import ROWS, SHARED, share
from prunekit.models.widths import BECOMES, Shapes, follow, own_tensors, shapes_at, told_elsewhere, widths_of

MOST = 2**24


@dataclass(frozen=True, eq=False)
class _Values:
    """Where the values of resized tensors come from: there is no tensor of a new shape without them."""

    state: Mapping[str, Tensor]  # by name in the model
    # by id of what was replaced: what replaced it, and the old one itself, so that its id stays its own. Tied tensors stay tied
    renewed: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def of(self, name: str, old: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return what takes a tensor's place."""
        if id(old) in self.renewed:
            return self.renewed[id(old)][0]
        value = self.state.get(name)
        if value is None:
            raise CheckpointError(f"the values of {name} are missing: its shape is {shape} and no longer {tuple(old.shape)}")
        if tuple(value.shape) != shape:
            raise CheckpointError(f"{name} is {tuple(value.shape)}, and the stored widths say {shape}")
        self.renewed[id(old)] = (_like(old, value), old)
        return self.renewed[id(old)][0]


def _like(old: Tensor, value: Tensor) -> Tensor:
    """Return a copy of a value, a parameter where the old tensor is one."""
    plain = value.detach().to(device=old.device, copy=True)
    return nn.Parameter(plain, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else plain


def _resize(name: str, module: nn.Module, new: Mapping[str, Any], values: _Values) -> None:
    """Give a module its new widths, and tensors of the new shapes with their values."""
    if ROWS in new and isinstance(module, LOOKED_UP):
        share(module)
    for attribute, shape in shapes_at(module, new).items():
        old = getattr(module, attribute, None)
        if old is not None and tuple(old.shape) != shape:
            setattr(module, attribute, values.of(f"{name}.{attribute}" if name else attribute, old, shape))
    known = adapter_of(module)
    if known is not None and DENSE in new:
        adapt(module, known, new[known.count], new[known.width], new[DENSE])
    for attribute, value in new.items():
        if attribute not in own_tensors(module) and not told_elsewhere(module) and attribute not in widths_of(module):
            follow(module, attribute, value)
        elif attribute not in own_tensors(module):
            setattr(module, attribute, tuple(value) if isinstance(value, list) else value)


def _fits(module: nn.Module, values: object) -> bool:
    """Return whether stored widths name what a module has: they may come from a file."""
    if not isinstance(values, Mapping):
        return False
    expected, known = widths_of(module), adapter_of(module)
    heads = {ROWS} if type(module).__name__ in SHARED and isinstance(module, LOOKED_UP) else set()
    heads |= set() if known is None else {known.count, known.width, DENSE}
    numbers = set() if told_elsewhere(module) else {name for name in set(values) - set(expected) if type(vars(module).get(name)) is int}
    expected |= {name: values[name] for name in numbers}
    if not (expected or heads) or set(values) - heads != set(expected) - heads or (set(values) & heads and heads - set(values)):
        return False
    return all(
        isinstance(value, list) == isinstance(expected.get(name, 0), list)
        and (not isinstance(value, list) or len(value) == len(expected[name]))  # type: ignore[arg-type]
        for name, value in values.items()
    )


def apply_widths(model: nn.Module, new: Mapping[str, Mapping[str, Any]], state: Mapping[str, Tensor] | None = None) -> None:
    """Resize the modules of a freshly built model in place.

    Parameters
    ----------
    model : nn.Module
        A model that nobody shares.
    new : mapping
        What :func:`widths` returned for the smaller model. It is checked: it may come from a file.
    state : mapping of str to Tensor, optional
        The smaller model's tensors by name. Each tensor whose shape changes takes its values from here, buffers outside the state dict
        too; all others keep theirs and are loaded afterwards.

    Raises
    ------
    CheckpointError
        If a module or attribute is unknown, a value is not a positive integer, no known module stands for a block, or the values of a
        tensor whose shape changes are missing.
    """
    modules, values = dict(model.named_modules()), _Values(state or {})
    for name, told in new.items():
        if isinstance(told, Mapping) and set(told) == {BECOMES} and name in modules and name:
            replace_module(model, name, stand_in(told[BECOMES]))
            continue
        if name not in modules or not _fits(modules[name], told):
            raise CheckpointError(f"the stored widths do not fit this architecture at {name!r}")
        numbers = [n for value in told.values() for n in (value if isinstance(value, list) else [value])]
        if any(isinstance(n, bool) or not isinstance(n, int) or not 0 < n < MOST for n in numbers):
            raise CheckpointError(f"the stored widths of {name!r} are not positive integers")
        _resize(name, modules[name], told, values)
    keep_in_step(model)


def resized(model: nn.Module, new: Mapping[str, Mapping[str, Any]]) -> Shapes:
    """Return the tensors of a model that have another shape at new widths, by name, with that shape."""
    found = {}
    for name, module in model.named_modules():
        told = new.get(name)
        for attribute, shape in shapes_at(module, told).items() if isinstance(told, Mapping) and _fits(module, told) else ():
            tensor = getattr(module, attribute, None)
            if tensor is not None and tuple(tensor.shape) != shape:
                found[f"{name}.{attribute}" if name else attribute] = shape
    return found


def settle(model: nn.Module, state: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> None:
    """Give a model what its state dict alone cannot: types and shapes that its widths do not say, and buffers that are in no state dict."""
    for name, old in model.state_dict(keep_vars=True).items():
        value = state.get(name)
        if value is None or not isinstance(old, Tensor) or value.is_floating_point() != old.is_floating_point():
            continue  # what does not fit at all is told all at once when it is loaded
        if value.dtype != old.dtype or (value.shape != old.shape and not _sized(model, name)):
            _replace(model, old, _like(old, value))
    for name, value in beside.items():
        path, _, leaf = name.rpartition(".")
        try:
            buffers = model.get_submodule(path)._buffers
        except AttributeError:
            buffers = {}
        if leaf not in buffers:
            raise CheckpointError(f"this architecture has no buffer {name}: its code has changed since the model was written")
        buffers[leaf] = value.detach().clone()


def _sized(model: nn.Module, name: str) -> bool:
    """Return whether the stored widths say which shape a tensor has."""
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    told = widths_of(module)
    return BECOMES not in told and leaf in shapes_at(module, told)


def _replace(model: nn.Module, old: Tensor, new: Tensor) -> None:
    """Put a tensor in another's place, wherever that stands."""
    for module in model.modules():
        for entries in (module._parameters, module._buffers):
            for leaf in [leaf for leaf, tensor in entries.items() if tensor is old]:
                entries[leaf] = new  # type: ignore[assignment]
