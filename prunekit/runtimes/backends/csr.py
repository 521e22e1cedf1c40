"""Sparse linear layers: torch with their zeros left out (CSR)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.errors import RuntimeFault
from prunekit.formatting import asked, ordinary
from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from prunekit.runtimes.runtime import Files, Session
    from prunekit.tasks.batch import Batch


def opened(files: Files, threads: int, device: str) -> Session:
    """Replace every linear layer with at least half zeros by its sparse form."""
    from torch import nn

    from prunekit.runtimes.torch_sessions import LEAST_ZEROS, TorchSession, opened_model, swap

    model = opened_model(files, threads, device)
    linear = sum(isinstance(module, nn.Linear) for module in model.modules())
    sparse = swap(model)
    if not linear:
        raise RuntimeFault("nothing to run sparse: only linear layers have a sparse form here, and this model has none")
    if not sparse:
        half = ordinary(asked(LEAST_ZEROS))
        few = f"none of its {linear} linear layers has at least {half} zeros"
        raise RuntimeFault(f"nothing to run sparse: {few}; prune linear layers unstructured, beyond that")
    session = TorchSession(model, device)
    session.notes = (f"{len(sparse)} of {linear} linear layers run sparse",)
    return session


def by_layer(model: nn.Module, x: Batch) -> tuple[Batch, dict[str, nn.Module]]:
    """Replace the layers that have enough zeros."""
    from prunekit.runtimes.torch_sessions import swap

    return x, swap(model)


CSR = Runtime(
    name="csr",
    title="sparse linear (CSR)",
    advice="Skips the zeros of linear layers, which pays for large layers with few weights left",
    opener=opened,
    by_layer=by_layer,
    order=90,
)
