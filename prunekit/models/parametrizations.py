"""Weights that are computed from others (weight norm, spectral norm, masks of torch's own pruning), made plain."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

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
