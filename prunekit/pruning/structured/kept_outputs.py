"""A dense model's tensors without the channels that went, from which outputs stay in each layer: what a file may say, so it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from prunekit.errors import PrunekitError
from prunekit.models.saved_values import use_cutter
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor, sliced

Kept = Mapping[str, Sequence[int]]


def sound(graph: ChannelGraph, kept: Kept) -> bool:
    """Whether indices can be those of the layers' outputs; they may come from a file of somebody else."""
    outputs = graph.outputs
    return all(name in outputs and all(0 <= i < outputs[name].size for i in stay) for name, stay in kept.items())


def cut_by(dense: nn.Module, shape: tuple[int, ...], kept: Kept) -> dict[str, Tensor]:
    """Return those parameters and buffers of a dense model that become smaller, cut; none where the indices do not fit it."""
    try:
        graph = trace(dense, shape)
        removal = Removal.leaving(graph, kept) if sound(graph, kept) else None
    except PrunekitError:
        removal = None
    if removal is None or any(removal.kept.get(name) != tuple(stay) for name, stay in kept.items()):
        return {}
    tensors = {**dict(dense.named_parameters()), **dict(dense.named_buffers())}
    return {name: sliced(tensors[name].detach(), keeps) for name, keeps in by_tensor(removal.masks).items() if name in tensors}


use_cutter(cut_by)
