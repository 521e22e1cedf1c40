"""A fingerprint of a model's weights: the baseline never moves, and this proves it."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


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
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")
    return digest.hexdigest()
