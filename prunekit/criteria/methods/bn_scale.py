"""BatchNorm scale: how much of each channel the norm behind it lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.criteria.criterion import Criterion, Scores, ScoringTask
from prunekit.errors import ModelError, PruningError

if TYPE_CHECKING:
    from torch import Tensor, nn


def bn_scale(task: ScoringTask) -> Scores:
    """Return the size of each channel's BatchNorm scale, ``|gamma|``.

    Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming; arXiv:1708.06519. Its layers are the
    BatchNorm modules themselves; one without scales (``affine=False``) scales by 1.
    """
    return {name: _scale(task.model, name) for name in task.layers}


def _scale(model: nn.Module, name: str) -> Tensor:
    """Return ``|gamma|`` of one BatchNorm."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    module = dict(model.named_modules(remove_duplicate=False)).get(name)
    if not isinstance(module, _BatchNorm):
        known = [other for other, m in model.named_modules() if isinstance(m, _BatchNorm)]
        shown = ", ".join(known[:8]) + (f", ... ({len(known)} in all)" if len(known) > 8 else "")
        raise PruningError(f"criterion 'bn_scale' takes names of BatchNorm modules, and {name!r} is none; there are {shown or 'none'}")
    if module.weight is None:
        return torch.ones(module.num_features)
    if module.weight.is_meta:
        raise ModelError(f"layer {name} has no values (meta device): load the model's weights first")
    gamma = module.weight.detach().double().cpu().abs()
    if not bool(torch.isfinite(gamma).all()):
        raise ModelError(f"layer {name} holds NaN or infinite scales: load a sound checkpoint")
    return gamma


BN_SCALE = Criterion(
    name="bn_scale",
    title="BatchNorm scale",
    formula="channel: |γ| of the BatchNorm behind it",
    source="Liu et al. 2017, arXiv:1708.06519",
    advice="For networks with BatchNorm; best if they were trained with a penalty that drives its scales to zero.",
    channel=bn_scale,
    carrier="norm",
    only="the scale of a BatchNorm belongs to a whole channel",
    order=80,
)
