"""Physically removing channels and blocks: a smaller copy of the original class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from prunekit.errors import PruningError
from prunekit.models.attention.heads import adapter_of
from prunekit.models.attention.transformers_sizes import keep_in_step
from prunekit.models.identity_blocks import stand_in
from prunekit.models.meta_copy import copied
from prunekit.models.shared_rows import TableCut, share, table_of
from prunekit.models.widths import fix_attributes, follow
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Bools
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.trace_facts import Axis


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the module that holds a state entry, and its attribute."""
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute


def sliced(tensor: Tensor, keeps: Mapping[int, Bools]) -> Tensor:
    """Return a copy of a tensor with only the kept elements of some axes, laid out as it is."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    places = (0, 3, 1, 2) if last else range(tensor.dim())
    tensor = tensor.permute(0, 2, 3, 1) if last else tensor
    for axis, keep in keeps.items():
        stays, place = torch.from_numpy(keep.nonzero()[0]).to(tensor.device), places[axis]
        if 0 < place == tensor.dim() - 1:  # along the last axis of several this is what takes the least time
            tensor = tensor.gather(place, stays.expand(*tensor.shape[:-1], -1))
        else:
            tensor = tensor.index_select(place, stays)
    return tensor.contiguous().permute(0, 3, 1, 2) if last else tensor.contiguous()


def by_tensor(masks: Mapping[Axis, Bools]) -> dict[str, dict[int, Bools]]:
    """Group the kept elements by state entry."""
    found: dict[str, dict[int, Bools]] = defaultdict(dict)
    for (name, axis), keep in masks.items():
        found[name][axis] = keep
    return found


def consuming(model: nn.Module, plan: Removal) -> nn.Module:
    """Return what :func:`shrink` does, and leave the model without its tensors: a large one never stands beside its smaller copy."""
    return shrink(model, plan, consume=True)


def shrink(model: nn.Module, plan: Removal, *, consume: bool = False) -> nn.Module:
    """Return a physically smaller copy of a model.

    Parameters
    ----------
    model : nn.Module
        The dense model that the plan was made for; not modified unless it is to be consumed.
    plan : Removal
        What goes.
    consume : bool
        Free each tensor of the model once what stays of it is copied; the model is of no use afterwards.

    Returns
    -------
    nn.Module
        Of the original class, with smaller parameters and matching attributes. Tied parameters stay tied.

    Raises
    ------
    PruningError
        If the plan does not fit the model.
    """
    keeps = by_tensor(plan.masks)
    state = dict(state_of(model))
    if not state.keys() >= keeps.keys():
        raise PruningError(f"the plan does not fit this model: it has no {min(keeps.keys() - state.keys())}")
    new = {block.name: stand_in(block.becomes) for block in plan.graph.blocks if block.name in plan.blocks}
    # what goes is not copied first, and nothing is copied whole: a large model need not fit twice
    memo: dict[int, object] = {id(model.get_submodule(name)): module for name, module in new.items()}
    programs = tuple(name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule))
    with torch.no_grad():
        for name, tensor in state.items():
            if not within(name, plan.blocks):
                memo[id(tensor)] = _smaller(tensor, keeps.get(name, {}), plan.by_weight.get(name))
            if consume and not within(name, programs):  # a scripted part is copied by itself, with its values
                tensor.data = tensor.new_empty(0)
    small = copied(model, memo)
    for name, module in new.items():
        module.train(model.get_submodule(name).training)
    for name, cut in plan.rows.items():
        table = table_of(small, name)
        share(table, cut.remap.to(table.weight.device))
    groups, lengths = plan.graph.kept_groups(plan.gone), plan.graph.kept_lengths(plan.gone)
    for name, module in small.named_modules():
        fix_attributes(module, groups.get(name), lengths.get(name), _below(name, keeps) if adapter_of(module) is not None else None)
    for (name, attribute), number in plan.graph.kept_beside(plan.gone).items():
        if not within(name, plan.blocks):
            follow(small.get_submodule(name), attribute, number)
    keep_in_step(small)
    return small


def state_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers, tied ones once, under their first name."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _smaller(old: Tensor, keeps: Mapping[int, Bools], rows: TableCut | None = None) -> Tensor:
    """Return what takes the place of a parameter or buffer: a copy of it, or of what stays."""
    new = sliced(old.detach(), keeps) if keeps else old.detach() if rows else old.detach().clone()
    new = rows.cut(new) if rows else new
    return nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new


def _below(path: str, keeps: Mapping[str, dict[int, Bools]]) -> dict[str, dict[int, Bools]]:
    """Return what stays of the tensors below a module, by their names relative to it."""
    start = f"{path}." if path else ""
    return {name.removeprefix(start): masks for name, masks in keeps.items() if name.startswith(start)}
