"""Channels last: torch with the channels of a pixel beside each other in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from prunekit.runtimes.runtime import Files, Session
    from prunekit.tasks.batch import Batch


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the model in that memory format."""
    import torch

    from prunekit.runtimes.torch_sessions import TorchSession, opened_model

    return TorchSession(opened_model(files, threads, device), device, memory_format=torch.channels_last)


def by_layer(model: nn.Module, x: Batch) -> tuple[Batch, dict[str, nn.Module]]:
    """Turn weights and input."""
    import torch

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this form out
    return x.map(lambda each: each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each), {}


CHANNELS_LAST = Runtime(
    name="channels_last",
    title="channels last",
    advice="Often faster than eager for convolutions, with nothing to install",
    devices=("cpu", "cuda"),
    opener=opened,
    by_layer=by_layer,
    order=20,
)
