"""A copy of a model without values: shapes and structure, no memory, no arithmetic."""

from __future__ import annotations

import copy

import torch
from torch import nn


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model on the meta device; tied parameters stay tied.

    Parameters
    ----------
    model : nn.Module
        Not modified.

    Returns
    -------
    nn.Module
        In evaluation mode, its parameters without gradients. No value is copied, so a large model costs no memory.
    """
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo).eval()
