"""A fingerprint of a model's weights: the baseline never moves, and this proves it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.anatomy.state import extra_state, tensor_state


def state_hash(model: nn.Module) -> str:
    """Return the sha256 of names, shapes, types and bytes of everything in the state dict.

    Parameters
    ----------
    model : nn.Module
        Any model on any device.

    Returns
    -------
    str
        64 hexadecimal digits; equal exactly when every parameter and buffer is bit for bit equal, and what ``get_extra_state`` gives.

    Raises
    ------
    ModelError
        If a module gives something by ``get_extra_state`` that cannot be written down.
    """
    return fingerprint(tensor_state(model), extra_state(model))


def fingerprint(state: Mapping[str, Tensor], told: Mapping[str, Any] | None = None) -> str:
    """Return the sha256 of names, shapes, types and bytes of tensors, and of plain values beside them."""
    digest = hashlib.sha256()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    for name, plain in (told or {}).items():
        digest.update(f"{name}|{json.dumps(plain, sort_keys=True)}|".encode())
    return digest.hexdigest()
