"""Physically removing channels: a smaller copy of the original class."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunekit.anatomy.widths import fix_attributes
from prunekit.errors import PruningError
from prunekit.pruning.graph import Axis
from prunekit.pruning.groups import Bools
from prunekit.pruning.removal import Plan


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the module that holds a state entry, and its attribute."""
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute


def sliced(tensor: Tensor, keeps: Mapping[int, Bools]) -> Tensor:
    """Return a copy of a tensor with only the kept elements of some axes."""
    for axis, keep in keeps.items():
        tensor = tensor.index_select(axis, torch.from_numpy(keep.nonzero()[0]).to(tensor.device))
    return tensor.contiguous()


def by_tensor(masks: Mapping[Axis, Bools]) -> dict[str, dict[int, Bools]]:
    """Group the kept elements by state entry."""
    found: dict[str, dict[int, Bools]] = defaultdict(dict)
    for (name, axis), keep in masks.items():
        found[name][axis] = keep
    return found


def shrink(model: nn.Module, plan: Plan) -> nn.Module:
    """Return a physically smaller copy of a model.

    Parameters
    ----------
    model : nn.Module
        The dense model that the plan was made for; not modified.
    plan : Plan
        What goes.

    Returns
    -------
    nn.Module
        Of the original class, with smaller parameters and matching attributes. Tied parameters stay tied.

    Raises
    ------
    PruningError
        If the plan does not fit the model.
    """
    small = copy.deepcopy(model)
    names = _aliases(small)
    with torch.no_grad():
        for name, keeps in by_tensor(plan.masks).items():
            if name not in names:
                raise PruningError(f"the plan does not fit this model: it has no {name}")
            _replace(small, names[name], keeps)
    groups = plan.graph.kept_groups(plan.gone)
    for name, module in small.named_modules():
        fix_attributes(module, groups.get(name))
    return small


def _aliases(model: nn.Module) -> dict[str, list[str]]:
    """Return for the first name of each state entry all its names (tied parameters have several)."""
    entries = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    found: dict[str, list[str]] = defaultdict(list)
    for name, tensor in entries:
        found[first.setdefault(id(tensor), name)].append(name)
    return found


def _replace(model: nn.Module, names: list[str], keeps: Mapping[int, Bools]) -> None:
    """Put one sliced tensor in place of a parameter or buffer, under all its names."""
    module, attribute = owner_of(model, names[0])
    old = getattr(module, attribute)
    new = sliced(old.detach(), keeps)
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    for name in names:
        owner, attribute = owner_of(model, name)
        setattr(owner, attribute, new)
