"""Attributes of modules that change with their widths, as plain numbers from which a smaller model is rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from prunekit.errors import CheckpointError, PruningError
from prunekit.models.attention.heads import DENSE, adapt, adapter_of, heads_of, kept_heads
from prunekit.models.attention.transformers_sizes import sizes_in_step
from prunekit.models.identity_blocks import standing_in
from prunekit.models.shared_rows import ROWS, SHARED, is_shared

Value = int | str | list[int]
Widths = dict[str, dict[str, Value]]
Kept = Mapping[str, Mapping[int, NDArray[np.bool_]]]

# attributes that describe a module's width, for each type whose tensors' shapes follow from them
ATTRIBUTES: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    (_ConvNd, ("in_channels", "out_channels", "groups")),
    (nn.Linear, ("in_features", "out_features")),
    (_NormBase, ("num_features",)),
    (nn.GroupNorm, ("num_groups", "num_channels")),
    ((nn.LayerNorm, nn.RMSNorm), ("normalized_shape",)),
    (nn.Bilinear, ("out_features", "in1_features", "in2_features")),
    (tuple(SHARED.values()), ("num_embeddings", "embedding_dim", ROWS)),
    ((nn.Embedding, nn.EmbeddingBag), ("num_embeddings", "embedding_dim")),
    (nn.RNNBase, ("input_size", "hidden_size", "proj_size")),
    (nn.RNNCellBase, ("input_size", "hidden_size")),
)
# numbers that other classes keep beside their tensors: attribute -> the tensor and the axis that tell it
BESIDE: dict[str, dict[str, tuple[str, int]]] = {
    "torch.nn.modules.activation.MultiheadAttention": {
        "embed_dim": ("in_proj_weight", 1),
        "kdim": ("in_proj_weight", 1),
        "vdim": ("in_proj_weight", 1),
    },
    "torchvision.models.vision_transformer.VisionTransformer": {"hidden_dim": ("class_token", 2)},
    "timm.layers.blur_pool.BlurPool2d": {"channels": ("filt", 0)},
    "Conv1D": {"nf": ("weight", 1), "nx": ("weight", 0)},  # GPT-2's, and those written like it
}
BECOMES = "becomes"
FOLLOWS = "prunekit_follows"  # attribute of a module of somebody's own class: which of its numbers follow its layers


def _attributes(module: nn.Module) -> tuple[str, ...]:
    """Return the attributes from which a module's shapes follow, or none."""
    return next((names for kind, names in ATTRIBUTES if isinstance(module, kind)), ())


def told_elsewhere(module: nn.Module) -> bool:
    """Return whether a module's numbers follow from its tensors, or belong to a class of torch's."""
    library = type(module).__module__.partition(".")[0]
    return library == "torch" or bool(_attributes(module) or _beside(module))


def follow(module: nn.Module, attribute: str, value: int) -> None:
    """Set a number that a module of somebody's own class keeps beside its layers; :func:`widths` tells it from now on."""
    setattr(module, attribute, value)
    module.__dict__[FOLLOWS] = tuple(dict.fromkeys((*getattr(module, FOLLOWS, ()), attribute)))


def _beside(module: nn.Module) -> dict[str, Any]:
    """Return the numbers that a module keeps beside its tensors, as those are."""
    found = (BESIDE.get(f"{kind.__module__}.{kind.__qualname__}") or BESIDE.get(kind.__name__) for kind in type(module).__mro__)
    told = next((known for known in found if known), {})
    return {
        name: getattr(module, tensor).shape[axis]
        for name, (tensor, axis) in told.items()
        if getattr(module, tensor, None) is not None and getattr(module, name, None) is not None  # None: read from the input
    } | sizes_in_step(module)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's own parameters and buffers that have axes."""
    entries = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return {name: tensor for name, tensor in entries if tensor.dim() and tensor.numel()}


def _plain(value: Any) -> int | list[int]:
    """Return an attribute as a whole number or a list of them."""
    return [int(size) for size in value] if isinstance(value, (tuple, list)) else int(value)


def widths(model: nn.Module) -> Widths:
    """Return the width of every module.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    dict
        Module name -> attribute -> value, e.g. ``{"conv1": {"in_channels": 3, "out_channels": 44, "groups": 1}}``. Parameters and buffers
        of other modules stand there by name with their shape, attention modules with their heads, and what took the place of a block by
        its class.
    """
    found = {name: widths_of(module) for name, module in model.named_modules()}
    return {name: values for name, values in found.items() if values}


def widths_of(module: nn.Module) -> dict[str, Value]:
    """Return the widths of one module."""
    instead = standing_in(module)
    if instead is not None:
        return {BECOMES: instead}
    attributes = _attributes(module)
    if attributes:
        told = {attribute: _plain(getattr(module, attribute)) for attribute in attributes}
        return {attribute: value for attribute, value in told.items() if value != 0}  # a recurrent layer without a projection
    values: dict[str, Value] = {name: list(tensor.shape) for name, tensor in own_tensors(module).items()}
    values |= {attribute: int(getattr(module, attribute)) for attribute, value in _beside(module).items() if type(value) is int}
    values |= {attribute: getattr(module, attribute) for attribute in module.__dict__.get(FOLLOWS, ())}
    known = adapter_of(module)
    if known is not None and hasattr(module, DENSE):
        values |= {attribute: int(getattr(module, attribute)) for attribute in (known.count, known.width, DENSE)}
    return values


def fix_attributes(module: nn.Module, groups: int | None = None, length: int | None = None, kept: Kept | None = None) -> None:
    """Set a module's width attributes from the shapes of its parameters.

    ``kept``: which elements of the tensors below an attention module stay: name relative to the module -> axis -> mask.
    """
    if isinstance(module, (_ConvNd, nn.GroupNorm)):
        _fix_grouped(module, groups)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NormBase):
        tensor = module.running_mean if module.running_mean is not None else module.weight
        module.num_features = tensor.shape[0] if tensor is not None else module.num_features if length is None else length
    elif isinstance(module, nn.Bilinear):
        module.out_features, module.in1_features, module.in2_features = module.weight.shape
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        setattr(module, ROWS if is_shared(module) else "num_embeddings", module.weight.shape[0])
        module.embedding_dim = module.weight.shape[1]
    elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        _fix_recurrent(module)
    elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        shape = None if module.weight is None else tuple(module.weight.shape)
        module.normalized_shape = shape or (module.normalized_shape if length is None else (length,))
    else:
        _fix_heads(module, kept or {})
        for attribute, value in _beside(module).items():
            setattr(module, attribute, value)


def _fix_grouped(module: nn.Module, groups: int | None) -> None:
    """Set the channels of a module whose channels come in groups."""
    if isinstance(module, _ConvNd):
        module.groups = module.groups if groups is None else groups
        first, second = module.weight.shape[0], module.weight.shape[1] * module.groups
        module.out_channels, module.in_channels = (second, first) if module.transposed else (first, second)
    elif isinstance(module, nn.GroupNorm):
        module.num_groups = module.num_groups if groups is None else groups
        module.num_channels = module.num_channels if module.weight is None else module.weight.shape[0]


def gates_of(module: nn.Module) -> int:
    """Return how many rows of a recurrent layer's weights belong to one hidden unit."""
    return 4 if isinstance(module, (nn.LSTM, nn.LSTMCell)) else 3 if isinstance(module, (nn.GRU, nn.GRUCell)) else 1


def _fix_recurrent(module: nn.RNNBase | nn.RNNCellBase) -> None:
    """Set the widths of a recurrent layer; it holds its weights in a list, too."""
    first, again = (
        (module.weight_ih, module.weight_hh) if isinstance(module, nn.RNNCellBase) else (module.weight_ih_l0, module.weight_hh_l0)
    )
    assert isinstance(first, Tensor) and isinstance(again, Tensor)
    module.input_size, module.hidden_size = first.shape[1], first.shape[0] // gates_of(module)
    if isinstance(module, nn.RNNBase):
        if module.proj_size:
            module.proj_size = again.shape[1]
            if module.proj_size >= module.hidden_size:
                raise PruningError(
                    "a projected recurrent layer has to keep more hidden units than its projection has: remove fewer of them"
                )
        module._init_flat_weights()


def _fix_heads(module: nn.Module, kept: Kept) -> None:
    """Give an attention module of which something went its number of heads and their width."""
    known = adapter_of(module)
    if known is None or not any(mask.size for masks in kept.values() for mask in masks.values()):
        return
    before, _ = heads_of(module, known)
    rows = kept.get(known.rows, {}).get(0)
    if rows is None:
        rows = np.ones(module.get_parameter(known.rows).shape[0], dtype=np.bool_)
    dense = getattr(module, DENSE, rows.size // (3 * before))
    count, width = kept_heads(rows, before)
    adapt(module, known, count, width, dense)


Shapes = dict[str, tuple[int, ...]]
New = Mapping[str, Any]
Kinds = tuple[type[nn.Module], ...]


def shapes_at(module: nn.Module, new: New) -> Shapes:
    """Return the shapes of a module's tensors at what :func:`prunekit.models.widths.widths_of` returned for the smaller one."""
    told = next((shapes for kinds, shapes in SHAPES if isinstance(module, kinds)), _as_stored)
    return told(module, new)


def _as_stored(module: nn.Module, new: New) -> Shapes:
    """Return shapes that stand there by name."""
    return {name: tuple(value) for name, value in new.items() if isinstance(value, list)}


def _convolution(module: nn.Module, new: New) -> Shapes:
    """Return those of a convolution."""
    assert isinstance(module, _ConvNd)
    out, into, groups = new["out_channels"], new["in_channels"], new["groups"]
    if into % groups or out % groups:
        raise CheckpointError(f"widths do not fit: {into} -> {out} channels in {groups} groups")
    shape = (into, out // groups) if module.transposed else (out, into // groups)
    return {"weight": (*shape, *module.kernel_size), "bias": (out,)}


def _recurrent(module: nn.Module, new: New) -> Shapes:
    """Return those of a recurrent layer."""
    into, hidden, rows, found = new["input_size"], new["hidden_size"], gates_of(module) * new["hidden_size"], Shapes()
    state = new.get("proj_size") or hidden
    both = 2 if isinstance(module, nn.RNNBase) and module.bidirectional else 1
    for name, _ in module.named_parameters():
        width = into if name in {"weight_ih", "weight_ih_l0", "weight_ih_l0_reverse"} else state * both
        kinds = {"weight_ih": (rows, width), "weight_hh": (rows, state), "weight_hr": (state, hidden)}
        found[name] = kinds.get(name.split("_l")[0], (rows,))
    return found


def _table(module: nn.Module, new: New) -> Shapes:
    """Return those of an embedding table, which may have lost rows."""
    weight: Shapes = {"weight": (new.get(ROWS, new["num_embeddings"]), new["embedding_dim"])}
    return {**weight, "remap": (new["num_embeddings"],)} if ROWS in new else weight


SHAPES: tuple[tuple[Kinds, Callable[[nn.Module, New], Shapes]], ...] = (
    ((_ConvNd,), _convolution),
    ((nn.RNNBase, nn.RNNCellBase), _recurrent),
    ((nn.Linear,), lambda _, new: {"weight": (new["out_features"], new["in_features"]), "bias": (new["out_features"],)}),
    (
        (nn.Bilinear,),
        lambda _, new: {"weight": (new["out_features"], new["in1_features"], new["in2_features"]), "bias": (new["out_features"],)},
    ),
    ((nn.Embedding, nn.EmbeddingBag), _table),
    ((nn.LayerNorm, nn.RMSNorm), lambda _, new: dict.fromkeys(("weight", "bias"), tuple(new["normalized_shape"]))),
    ((nn.GroupNorm,), lambda _, new: dict.fromkeys(("weight", "bias"), (new["num_channels"],))),
    ((_NormBase,), lambda _, new: dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (new["num_features"],))),
)
