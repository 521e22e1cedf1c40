"""Runtimes in which layers can be told apart: torch's own, with another memory format, precision or sparse linear layers."""

from __future__ import annotations

from torch import Tensor, nn

from prunekit.errors import LatencyError, one_of
from prunekit.runtimes import backends

RUNTIMES = tuple(name for name, runtime in backends.RUNTIMES.items() if runtime.by_layer)


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
    ready = backends.RUNTIMES[runtime].by_layer
    assert ready is not None  # those of RUNTIMES have it
    return ready(model, x)
