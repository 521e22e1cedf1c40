"""Runtimes in which layers can be told apart: torch's own, with another memory format, precision or sparse linear layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunekit.errors import LatencyError, one_of
from prunekit.runtimes.sparse import LEAST_ZEROS, SparseLinear

RUNTIMES = ("eager", "channels_last", "bfloat16", "csr")


def prepare(model: nn.Module, x: Tensor, runtime: str) -> tuple[Tensor, dict[str, nn.Module]]:
    """Make a model ready for a runtime, in place.

    Parameters
    ----------
    model : nn.Module
        One's own copy; changed.
    x : Tensor, shape [N, ...]
        One batch.
    runtime : str
        One of `RUNTIMES`.

    Returns
    -------
    Tensor
        The batch as this runtime takes it.
    dict of str to nn.Module
        Layers that were replaced, by name.
    """
    one_of("runtime", runtime, RUNTIMES, LatencyError)
    if runtime == "channels_last":
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this form out
        return (x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x), {}
    if runtime == "bfloat16":
        model.to(torch.bfloat16)
        return x.to(torch.bfloat16), {}
    return x, _swap(model) if runtime == "csr" else {}


def _swap(model: nn.Module) -> dict[str, nn.Module]:
    """Replace linear layers with enough zeros."""
    linear = [(name, m) for name, m in model.named_modules() if type(m) is nn.Linear and name]
    swapped: dict[str, nn.Module] = {name: SparseLinear(m) for name, m in linear if _zeros(m) >= LEAST_ZEROS}
    for name, module in swapped.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module)
    return swapped


def _zeros(module: nn.Linear) -> float:
    """Return the share of zeros among a layer's weights."""
    return 1 - int(torch.count_nonzero(module.weight)) / max(module.weight.numel(), 1)
