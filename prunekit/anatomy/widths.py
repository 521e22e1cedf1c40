"""The module attributes that change when channels are removed, so that a smaller model can be rebuilt from plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from prunekit.errors import CheckpointError

# attributes that describe a module's width, for each type that surgery resizes
ATTRIBUTES: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (_ConvNd, ("in_channels", "out_channels", "groups")),
    (nn.Linear, ("in_features", "out_features")),
    (_BatchNorm, ("num_features",)),
)

Widths = dict[str, dict[str, int]]


def _attributes(module: nn.Module) -> tuple[str, ...]:
    """Return the width attributes of a module, or none."""
    return next((names for kind, names in ATTRIBUTES if isinstance(module, kind)), ())


def widths(model: nn.Module) -> Widths:
    """Return the width of every resizable module.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    dict
        Module name -> attribute -> value, e.g. ``{"conv1": {"in_channels": 3, "out_channels": 44, "groups": 1}}``.
    """
    found = ((name, module, _attributes(module)) for name, module in model.named_modules())
    return {name: {a: int(getattr(module, a)) for a in attributes} for name, module, attributes in found if attributes}


def fix_attributes(module: nn.Module, groups: int | None = None) -> None:
    """Set a module's width attributes from the shapes of its parameters.

    Parameters
    ----------
    module : nn.Module
        A module whose parameters were resized.
    groups : int, optional
        New number of groups of a convolution; unchanged when left out.
    """
    if isinstance(module, _ConvNd):
        module.groups = module.groups if groups is None else groups
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm):
        tensor = module.running_mean if module.running_mean is not None else module.weight
        if tensor is not None:
            module.num_features = tensor.shape[0]


def _shapes(module: nn.Module, new: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a module's tensors at new widths."""
    if isinstance(module, _ConvNd):
        out, into, groups = new["out_channels"], new["in_channels"], new["groups"]
        if into % groups or out % groups:
            raise CheckpointError(f"widths do not fit: {into} -> {out} channels in {groups} groups")
        return {"weight": (out, into // groups, *module.kernel_size), "bias": (out,)}
    if isinstance(module, nn.Linear):
        return {"weight": (new["out_features"], new["in_features"]), "bias": (new["out_features"],)}
    return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (new["num_features"],))


def _resize(module: nn.Module, new: Mapping[str, int]) -> None:
    """Give a module tensors of new widths (empty values: a state dict is loaded next)."""
    for name, shape in _shapes(module, new).items():
        old = getattr(module, name, None)
        if old is None or tuple(old.shape) == shape:
            continue
        fresh = torch.empty(shape, dtype=old.dtype, device=old.device)
        is_parameter = isinstance(old, nn.Parameter)
        setattr(module, name, nn.Parameter(fresh, requires_grad=old.requires_grad) if is_parameter else fresh)
    for attribute, value in new.items():
        setattr(module, attribute, value)


def apply_widths(model: nn.Module, new: Mapping[str, Mapping[str, Any]]) -> None:
    """Resize the modules of a freshly built model in place; load a state dict afterwards.

    Parameters
    ----------
    model : nn.Module
        A model that nobody shares: its values are lost where a shape changes.
    new : mapping
        What :func:`widths` returned for the smaller model. It is checked: it may come from a file.

    Raises
    ------
    CheckpointError
        If a module or attribute is unknown or a value is not a positive integer.
    """
    modules = dict(model.named_modules())
    for name, values in new.items():
        expected = _attributes(modules[name]) if name in modules else ()
        if not isinstance(values, Mapping) or not expected or set(values) != set(expected):
            raise CheckpointError(f"the stored widths do not fit this architecture at {name!r}")
        if any(isinstance(v, bool) or not isinstance(v, int) or not 0 < v < 2**24 for v in values.values()):
            raise CheckpointError(f"the stored widths of {name!r} are not positive integers")
        _resize(modules[name], values)
