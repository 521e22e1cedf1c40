"""A table of the layers that can be pruned: shapes, parameters, MACs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from prunekit.models.attention.heads import packed_weight
from prunekit.models.cost import layer_macs
from prunekit.models.layers import outputs_of, owner_of_layer, prunable_layers, weight_of
from prunekit.models.meta_copy import PRUNABLE_TYPES

if TYPE_CHECKING:
    import pandas as pd


def layer_table(model: nn.Module, input_shape: tuple[int, ...], names: Iterable[str] | None = None) -> pd.DataFrame:
    """Return one row for each prunable layer.

    Parameters
    ----------
    model : nn.Module
        Any model.
    input_shape : tuple of int
        Shape of one sample, ``(C, H, W)`` or ``(features,)``.
    names : iterable of str, optional
        Some of the :func:`channel_layers`; the prunable ones when left out.

    Returns
    -------
    DataFrame
        Columns ``name``, ``type``, ``shape`` (of the weight), ``params`` (weight and bias), ``share`` (of all the model's
        parameters), ``macs`` (for one sample), ``out_channels``.
    """
    import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

    total = sum(p.numel() for p in model.parameters())
    macs = layer_macs(model, input_shape)
    rows = []
    for name in prunable_layers(model) if names is None else names:
        module = owner_of_layer(model, name)
        shape = tuple(weight_of(model, name).shape)
        alone = isinstance(module, PRUNABLE_TYPES) or packed_weight(module) is not None
        params = sum(p.numel() for p in module.parameters(recurse=False)) if alone else math.prod(shape)
        rows.append((name, type(module).__name__, shape, params, params / total, macs.get(name, 0), outputs_of(model, name)))
    return pd.DataFrame(rows, columns=["name", "type", "shape", "params", "share", "macs", "out_channels"])
