"""Wrappers around a model (data parallelism, compilation, averages), and weights computed from others."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from prunekit.errors import ModelError
from prunekit.tasks.known_values import know

ENDS = ("_orig", "_g", "_v")  # of parameters that torch's earlier functions compute a weight from


def computed_from(model: nn.Module) -> set[str]:
    """Return the names, in the state dict, of what weights are computed from."""
    return {name for name in model.state_dict() if ".parametrizations." in f".{name}" or name.endswith(ENDS)}


def remove_parametrizations(model: nn.Module) -> tuple[str, ...]:
    """Make every weight of a model plain, with the value that it has now.

    Parameters
    ----------
    model : nn.Module
        Changed in place.

    Returns
    -------
    tuple of str
        The weights that were computed from others.
    """
    found = []
    for path, module in list(model.named_modules()):
        names: list[tuple[str, object]] = []
        if parametrize.is_parametrized(module):
            names += [(name, parametrize.remove_parametrizations) for name in list(module.parametrizations)]  # type: ignore[arg-type,union-attr]
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                names.append((hook.name, remove_weight_norm))
            elif isinstance(hook, SpectralNorm):
                names.append((hook.name, remove_spectral_norm))
            elif isinstance(hook, prune.BasePruningMethod):
                names.append((hook._tensor_name, prune.remove))
        for name, remove in names:
            remove(module, name)  # type: ignore[operator]
            found.append(f"{path}.{name}" if path else name)
    return tuple(found)


INNER = ("_orig_mod", "module", "ema_model")
QUANTISED = "torch.ao.nn.quantized"
SWITCHES = ("fake_quant_enabled", "observer_enabled")  # of torch's modules that round as a quantised model would
AVERAGES = ("EMA", "Ema", "AveragedModel", "DataParallel", "FullyShardedDataParallel")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, ``torch.compile``, AveragedModel and classes of moving averages; others themselves."""
    while True:
        _check_form(model)
        kind = type(model).__name__
        inner = next((model._modules[name] for name in INNER if isinstance(model._modules.get(name), nn.Module)), None)
        if inner is None or not (kind == "OptimizedModule" or any(word in kind for word in AVERAGES)):
            return model
        model = inner


def exact(model: nn.Module) -> nn.Module:
    """Let a model that is prepared for quantisation compute without rounding, in place: steps hide what is followed and compared."""
    for module in model.modules():
        for name in SWITCHES if hasattr(module, "disable_fake_quant") else ():
            known = module._buffers.get(name)
            if known is not None:
                off = torch.zeros(known.shape, dtype=known.dtype)
                module._buffers[name] = know(torch.empty_like(off, device="meta"), off) if known.is_meta else off.to(known.device)
    return model


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
