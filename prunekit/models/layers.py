"""The layers that can be pruned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from prunekit.errors import ModelError, PruningError
from prunekit.models.attention.heads import packed_weight
from prunekit.models.meta_copy import PRUNABLE_TYPES

if TYPE_CHECKING:
    pass


RECURRENT = (nn.RNNBase, nn.RNNCellBase)
LISTS = (nn.ParameterList, nn.ParameterDict)
LOOKED_UP = (nn.Embedding, nn.EmbeddingBag)
# what a parameter is called that adds, scales or places, and multiplies nothing
NO_PRODUCT = re.compile("bias|pos|token|table|embed|scale|gamma|mask|anchor|grid|temperature|query$|queries|prompt|latent")


def prunable_layers(model: nn.Module) -> tuple[str, ...]:
    """Return what holds weights that are multiplied with inputs, in order of definition.

    Convolution (transposed too), linear and bilinear layers, embeddings, and attention that holds the weight of its queries, keys and
    values itself (``nn.MultiheadAttention``) by module name; the weights of recurrent layers by the name of the parameter
    (``rnn.weight_ih_l0``). A class of someone else's that holds a weight of its own is listed by module name where it is called
    ``weight``, else by the name of the parameter. A module that stands under two names, or whose weight is tied to an earlier layer's, is
    listed once; an embedding that is tied to a linear layer under that layer's name.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    tuple of str
        Dotted names.
    """
    tied = {id(module.weight) for module in model.modules() if type(module) is nn.Linear and "weight" in module._parameters}
    names, seen = [], set[int]()
    for name, module in model.named_modules():
        if (packed := packed_weight(module)) is not None and id(packed) not in seen:
            seen.add(id(packed))
            names.append(name)
        for own in _weights_in(module, name):
            weight = module._parameters[own]
            if id(weight) not in seen and not (isinstance(module, LOOKED_UP) and id(weight) in tied):
                seen.add(id(weight))
                names.append(name if own == "weight" else f"{name}.{own}" if name else own)
    return tuple(names)


def _weights_in(module: nn.Module, path: str) -> Iterator[str]:
    """Yield the parameters of a module itself that are multiplied with inputs; those of a program belong to it.

    What a list or dict of parameters holds is called as the list is.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return
    if isinstance(module, PRUNABLE_TYPES):
        yield from (name for name in ("weight",) if name in module._parameters)
    elif isinstance(module, RECURRENT):
        yield from (name for name, weight in module._parameters.items() if weight is not None and name.startswith("weight"))
    elif isinstance(module, nn.MultiheadAttention):  # of keys of another width, or with added ones
        own = () if packed_weight(module) is not None else module._parameters.items()
        yield from (name for name, weight in own if weight is not None and name.endswith("proj_weight"))
    elif isinstance(module, LISTS) or not type(module).__module__.startswith("torch."):  # a scripted part is whole
        of = path.rpartition(".")[2] if isinstance(module, LISTS) else ""
        for name, weight in module._parameters.items():
            many = weight is not None and weight.is_floating_point() and sum(size > 1 for size in weight.shape) > 1
            if many and not NO_PRODUCT.search(f"{of}.{name}" if of else name):
                yield name


def table_modules(model: nn.Module) -> frozenset[str]:
    """Return the names of the modules whose rows are looked up by ids: embedding tables, of tokens too."""
    return frozenset(name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, LOOKED_UP))


def channel_layers(model: nn.Module) -> tuple[str, ...]:
    """Return the layers that lose outputs in structured pruning, in order of definition.

    Those are the prunable layers.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    tuple of str
        Dotted module names.
    """
    return prunable_layers(model)


def weight_name(model: nn.Module, layer: str) -> str:
    """Return the name in the state dict of the weight of one of the :func:`channel_layers`."""
    module = _module(model, layer)
    if module is None:
        return layer
    own = "in_proj_weight" if packed_weight(module) is not None else "weight"
    return f"{layer}.{own}" if layer else own


def owner_of_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return the module that holds the weight of one of the :func:`channel_layers`."""
    return model.get_submodule(weight_name(model, layer).rpartition(".")[0])


def _module(model: nn.Module, name: str) -> nn.Module | None:
    """Return a module by name; None where it is the name of a parameter, or of nothing."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def weight_of(model: nn.Module, name: str) -> Tensor:
    """Return the weight of a prunable layer, or that of an attention module's queries, keys and values.

    Parameters
    ----------
    model : nn.Module
        Any model.
    name : str
        One of the :func:`channel_layers`.

    Returns
    -------
    Tensor
        As it is stored: ``[out, in / groups, *kernel]`` for a convolution, ``[in, out / groups, *kernel]`` for a transposed one,
        ``[out, in]`` for a linear layer or packed attention; detached.

    Raises
    ------
    PruningError
        If there is no such layer or it cannot be pruned.
    """
    module = _module(model, name)
    packed = None if module is None else packed_weight(module)
    if packed is not None:
        return packed.detach()
    path, _, own = (f"{name}.weight" if name else "weight").rpartition(".") if module is not None else name.rpartition(".")
    module = _module(model, path)
    if module is None or own not in _weights_in(module, path):
        raise PruningError(unknown_layers([name], prunable_layers(model)))
    weight = module._parameters[own]
    assert weight is not None  # by _weights_in
    return weight.detach()


def outputs_of(model: nn.Module, name: str) -> int:
    """Return how many outputs one of the :func:`channel_layers` has, as its class tells it."""
    module, weight = owner_of_layer(model, name), weight_of(model, name)
    if isinstance(module, _ConvTransposeNd):
        return module.out_channels
    return weight.shape[1 if isinstance(module, LOOKED_UP) or inputs_first(module) else 0]


def inputs_of(model: nn.Module, name: str) -> int:
    """Return how many inputs, in one group, one of the :func:`channel_layers` has, as its class tells it."""
    return weight_of(model, name).shape[input_axis(model, name)]


def input_axis(model: nn.Module, name: str) -> int:
    """Return the axis of a layer's stored weight along which its inputs lie, as its class tells it."""
    module = owner_of_layer(model, name)
    return 0 if isinstance(module, _ConvTransposeNd) or inputs_first(module) else 1


def inputs_first(module: nn.Module) -> bool:
    """Return whether a class stores its weight as ``[in, out]``, as GPT-2's ``Conv1D`` does."""
    return any(kind.__name__ == "Conv1D" for kind in type(module).__mro__)


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
