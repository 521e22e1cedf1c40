"""The dense model in which everything that a plan removes is zero."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.models.meta_copy import copied
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor, owner_of, state_of

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
