"""Eager: torch runs the model as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from prunekit.runtimes.runtime import Files, Session
    from prunekit.tasks.batch import Batch


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the model."""
    from prunekit.runtimes.torch_sessions import TorchSession, opened_model

    return TorchSession(opened_model(files, threads, device), device)


def by_layer(model: nn.Module, x: Batch) -> tuple[Batch, dict[str, nn.Module]]:
    """Leave the model as it is."""
    return x, {}


EAGER = Runtime(
    name="eager",
    title="eager",
    advice="What training runs, and the baseline: choose it to compare with, not to deploy",
    devices=("cpu", "cuda"),
    opener=opened,
    by_layer=by_layer,
    order=10,
)
