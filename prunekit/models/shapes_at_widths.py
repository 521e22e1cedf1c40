"""The shapes of a module's tensors at new widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from prunekit.errors import CheckpointError
from prunekit.models.widths import gates_of

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


SHAPES: tuple[tuple[Kinds, Callable[[nn.Module, New], Shapes]], ...] = (
    ((_ConvNd,), _convolution),
    ((nn.RNNBase, nn.RNNCellBase), _recurrent),
    ((nn.Linear,), lambda _, new: {"weight": (new["out_features"], new["in_features"]), "bias": (new["out_features"],)}),
    (
        (nn.Bilinear,),
        lambda _, new: {"weight": (new["out_features"], new["in1_features"], new["in2_features"]), "bias": (new["out_features"],)},
    ),
    ((nn.Embedding, nn.EmbeddingBag), lambda _, new: {"weight": (new["num_embeddings"], new["embedding_dim"])}),
    ((nn.LayerNorm, nn.RMSNorm), lambda _, new: dict.fromkeys(("weight", "bias"), tuple(new["normalized_shape"]))),
    ((nn.GroupNorm,), lambda _, new: dict.fromkeys(("weight", "bias"), (new["num_channels"],))),
    ((_NormBase,), lambda _, new: dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (new["num_features"],))),
)
