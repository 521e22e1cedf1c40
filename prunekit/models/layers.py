"""The layers that can be pruned, and a table of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError, PruningError
from prunekit.models.attention.heads import packed_weight
from prunekit.models.meta_copy import PRUNABLE_TYPES

if TYPE_CHECKING:
    pass


def prunable_layers(model: nn.Module) -> tuple[str, ...]:
    """Return the convolution and linear layers by module name, in order of definition.

    A module that stands under two names, or whose weight is tied to an earlier layer's, is listed once.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    tuple of str
        Dotted module names.
    """
    seen: set[int] = set()
    names = []
    for name, module in model.named_modules():
        if isinstance(module, PRUNABLE_TYPES) and "weight" in module._parameters and id(module.weight) not in seen:
            seen.add(id(module.weight))
            names.append(name)
    return tuple(names)


def channel_layers(model: nn.Module) -> tuple[str, ...]:
    """Return the layers that lose outputs in structured pruning, in order of definition.

    The prunable layers, and attention modules that hold the weight of their queries, keys and values themselves
    (``nn.MultiheadAttention``).

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    tuple of str
        Dotted module names.
    """
    plain = set(prunable_layers(model))
    return tuple(name for name, module in model.named_modules() if name in plain or packed_weight(module) is not None)


def weight_name(model: nn.Module, layer: str) -> str:
    """Return the name in the state dict of the weight of one of the :func:`channel_layers`."""
    own = "in_proj_weight" if packed_weight(model.get_submodule(layer)) is not None else "weight"
    return f"{layer}.{own}" if layer else own


def weight_of(model: nn.Module, name: str) -> Tensor:
    """Return the weight of a prunable layer, or that of an attention module's queries, keys and values.

    Parameters
    ----------
    model : nn.Module
        Any model.
    name : str
        Module name of a convolution or linear layer.

    Returns
    -------
    Tensor
        ``[out, in / groups, *kernel]`` for a convolution, ``[out, in]`` for a linear layer or packed attention; detached.

    Raises
    ------
    PruningError
        If there is no such layer or it cannot be pruned.
    """
    try:
        module = model.get_submodule(name)
    except AttributeError:
        module = None
    packed = None if module is None else packed_weight(module)
    if packed is not None:
        return packed.detach()
    if not isinstance(module, PRUNABLE_TYPES):
        raise PruningError(unknown_layers([name], prunable_layers(model)))
    return module.weight.detach()


def unknown_layers(names: Iterable[str], known: tuple[str, ...]) -> str:
    """Return the sentence that says which layers are unknown and which exist."""
    shown = ", ".join(known[:8]) + (f", ... ({len(known)} in all)" if len(known) > 8 else "")
    return f"no prunable layer named {', '.join(names)}; prunable layers are {shown or 'none'}"


def check_finite(model: nn.Module, layers: Iterable[str]) -> None:
    """Raise if a layer's weight holds NaN or infinity: such weights cannot be ranked.

    Raises
    ------
    ModelError
        Naming the first such layer.
    """
    for name in layers:
        weight = weight_of(model, name)
        if weight.is_meta:
            raise ModelError(f"layer {name} has no values (meta device): load the model's weights first")
        # a finite sum has finite terms, and adding up is several times quicker than looking at each; a sum may also overflow
        if not bool(torch.isfinite(weight.sum())) and not bool(torch.isfinite(weight).all()):
            raise ModelError(f"layer {name} holds NaN or infinite weights: load a sound checkpoint")
