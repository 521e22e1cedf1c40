"""A fingerprint of a model's weights: the baseline never moves, and this proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_hash(model: nn.Module) -> str:
    """Return the sha256 of names, shapes, types and bytes of everything in the state dict.

    Parameters
    ----------
    model : nn.Module
        Any model on any device.

    Returns
    -------
    str
        64 hexadecimal digits; equal exactly when every parameter and buffer is bit for bit equal.
    """
    return fingerprint(model.state_dict())


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, shapes, types and bytes of tensors."""
    digest = hashlib.sha256()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
