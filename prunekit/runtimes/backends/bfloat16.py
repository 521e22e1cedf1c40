"""bfloat16: torch with weights and activations in half as many bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from prunekit.runtimes.runtime import Files, Session
    from prunekit.tasks.batch import Batch


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the model in that precision."""
    import torch

    from prunekit.runtimes.torch_sessions import TorchSession, opened_model

    return TorchSession(opened_model(files, threads, device), device, dtype=torch.bfloat16)


def by_layer(model: nn.Module, x: Batch) -> tuple[Batch, dict[str, nn.Module]]:
    """Round weights and input."""
    import torch

    model.to(torch.bfloat16)
    return x.to(dtype=torch.bfloat16), {}


BFLOAT16 = Runtime(
    name="bfloat16",
    title="bfloat16",
    precision="bfloat16",
    advice="For processors with bfloat16 instructions; without them it is slower than float32",
    devices=("cpu", "cuda"),
    opener=opened,
    by_layer=by_layer,
    order=30,
)
