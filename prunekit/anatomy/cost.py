"""Parameters, non-zeros and multiply-accumulates (MACs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit.anatomy.meta import meta_copy
from prunekit.errors import ModelError

Masks = Mapping[str, Tensor]

_cache: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], dict[str, int]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Counts:
    """What a model holds and costs.

    Attributes
    ----------
    params : int
        Parameters, dense.
    nonzero : int
        Parameters that are not zero.
    macs : int
        Multiply-accumulates for one sample, dense.
    effective_macs : int
        The same, counting only non-zero weights of convolution and linear layers.
    sparsity : float
        Share of zeros among the prunable weights.
    prunable : int
        Number of prunable weights: those of convolution and linear layers, without biases and norms.
    """

    params: int
    nonzero: int
    macs: int
    effective_macs: int
    sparsity: float
    prunable: int

    def to_dict(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)


def _shapes(model: nn.Module) -> tuple[object, ...]:
    """Return what the cost depends on besides the input: it changes when a model is resized in place."""
    return tuple(tuple(p.shape) for p in model.parameters())


def _measure(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Count the MACs of one forward pass by module with torch's own counter, on the meta device."""
    try:
        meta = meta_copy(model)
        dtype = next((p.dtype for p in meta.parameters()), torch.float32)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            meta(torch.zeros(1, *input_shape, dtype=dtype, device="meta"))
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"the model does not run on an input of shape {list(input_shape)}: {lines[0] if lines else type(error).__name__}. "
            "Give the shape that it was made for (--size, or data that fit)"
        ) from error
    flops = counter.get_flop_counts()
    prefix = type(meta).__name__ + "."
    by_name = {key.removeprefix(prefix): sum(ops.values()) // 2 for key, ops in flops.items() if key.startswith(prefix)}
    return {**by_name, "": counter.get_total_flops() // 2}


def _costs(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return MACs by module name, the whole under ``""``; remembered for each model."""
    key = (tuple(input_shape), _shapes(model))
    known = _cache.setdefault(model, {})
    if key not in known:
        known[key] = _measure(model, tuple(input_shape))
    return known[key]


def layer_macs(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the MACs of each module for one sample.

    Counted by ``torch.utils.flop_counter`` (two operations are one MAC) on the meta device: nothing is computed.

    Parameters
    ----------
    model : nn.Module
        Any model.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    dict of str to int
        Module name to MACs.

    Raises
    ------
    ModelError
        If the model does not run on such an input.
    """
    return {name: macs for name, macs in _costs(model, input_shape).items() if name}


def model_macs(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the MACs of one forward pass of one sample (convolutions, matrix products, attention)."""
    return _costs(model, input_shape)[""]


def count(model: nn.Module, input_shape: tuple[int, ...], masks: Masks | None = None) -> Counts:
    """Count parameters, non-zeros, MACs and effective MACs.

    Parameters
    ----------
    model : nn.Module
        Any model.
    input_shape : tuple of int
        Shape of one sample.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask, True where a weight stays; weights that the masks remove count as zero.

    Returns
    -------
    Counts
        For one sample.
    """
    from prunekit.anatomy.layers import prunable_layers  # noqa: PLC0415 (layers uses this module for its table)

    macs, masks = layer_macs(model, input_shape), masks or {}
    total = model_macs(model, input_shape)
    params = sum(p.numel() for p in model.parameters())
    nonzero = sum(int(torch.count_nonzero(p)) for p in model.parameters())
    effective, zeros, prunable = float(total), 0, 0
    for name in prunable_layers(model):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        alive = int(torch.count_nonzero(weight))
        left = int(torch.count_nonzero(weight * masks[name])) if name in masks else alive
        nonzero -= alive - left
        zeros, prunable = zeros + weight.numel() - left, prunable + weight.numel()
        effective -= macs.get(name, 0) * (1 - left / max(weight.numel(), 1))
    return Counts(params, nonzero, total, round(effective), zeros / max(prunable, 1), prunable)
