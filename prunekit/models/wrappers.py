"""What stands around a model and is none of it: data parallelism, compilation, averages of weights; and TorchScript."""

from __future__ import annotations

import torch
from torch import nn

from prunekit.errors import ModelError

INNER = ("_orig_mod", "module", "ema_model")
AVERAGES = ("EMA", "Ema", "AveragedModel", "DataParallel", "FullyShardedDataParallel")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, ``torch.compile``, AveragedModel and classes of moving averages; others themselves.

    Raises
    ------
    ModelError
        If it is a TorchScript program as a whole.
    """
    while True:
        if isinstance(model, torch.jit.ScriptModule):
            raise ModelError(
                "the model is a TorchScript program (torch.jit.script or trace), whose layers cannot be taken apart: give the module "
                "that it was made of"
            )
        kind = type(model).__name__
        inner = next((model._modules[name] for name in INNER if isinstance(model._modules.get(name), nn.Module)), None)
        if inner is None or not (kind == "OptimizedModule" or any(word in kind for word in AVERAGES)):
            return model
        model = inner
