"""What stands around a model and is none of it: data parallelism, compilation, averages of weights; and forms without layers to prune."""

from __future__ import annotations

import torch
from torch import nn

from prunekit.errors import ModelError

INNER = ("_orig_mod", "module", "ema_model")
QUANTISED = "torch.ao.nn.quantized"
AVERAGES = ("EMA", "Ema", "AveragedModel", "DataParallel", "FullyShardedDataParallel")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, ``torch.compile``, AveragedModel and classes of moving averages; others themselves.

    Raises
    ------
    ModelError
        If it is a program as a whole (TorchScript, ``torch.export``), or layers of it are quantised.
    """
    while True:
        _check_form(model)
        kind = type(model).__name__
        inner = next((model._modules[name] for name in INNER if isinstance(model._modules.get(name), nn.Module)), None)
        if inner is None or not (kind == "OptimizedModule" or any(word in kind for word in AVERAGES)):
            return model
        model = inner


def _check_form(model: nn.Module) -> None:
    """Raise where a model has no layers with weights to take apart."""
    kinds = {base.__name__ for base in type(model).__mro__ if base.__module__.startswith("torch.export.")}
    what = "a TorchScript program (torch.jit.script or trace)" if isinstance(model, torch.jit.ScriptModule) else ""
    what = "a program of torch.export" if kinds else what
    if what:
        raise ModelError(f"the model is {what}, whose layers cannot be taken apart: give the module that it was made of")
    for name, module in model.named_modules():
        if type(module).__module__.startswith(QUANTISED):
            raise ModelError(
                f"layer {name or type(module).__name__} is quantised (a {type(module).__name__} of {QUANTISED}), its weights packed as "
                "integers: prune the model before it is quantised"
            )
