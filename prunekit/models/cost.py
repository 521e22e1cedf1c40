"""Parameters, non-zeros and multiply-accumulates (MACs); and the table of the layers that can be pruned, with theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from prunekit.errors import ModelError, PrunekitError
from prunekit.models.attention.heads import packed_weight
from prunekit.models.inputs import SEVERAL, form_for
from prunekit.models.layers import channel_layers, outputs_of, owner_of_layer, prunable_layers, weight_name, weight_of
from prunekit.models.meta_copy import PRUNABLE_TYPES, Seeing, copied, meta_copy
from prunekit.models.meta_operations import without_values
from prunekit.models.state import Cache, likeness, remembered
from prunekit.tasks.input_form import answer, zeros

if TYPE_CHECKING:
    import pandas as pd

Masks = Mapping[str, Tensor]
COUNTED = (torch.float32, torch.float64, torch.bool)

_cache: Cache[dict[str, int]] = WeakKeyDictionary()


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


def share_of_all(before: int, params: int, nonzero: int) -> float:
    """Return the share of all parameters of a dense model that are gone or zero.

    Parameters
    ----------
    before : int
        Parameters of the dense model.
    params, nonzero : int
        Of the model that was made of it. Where some are gone, those are counted, and else those that are zero.
    """
    return 1 - (nonzero if params == before else params) / max(before, 1)


def macs_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Return the multiply-accumulates of one operation that is in torch's ``flop_registry``, by torch's own formula.

    torch wraps its formulas in a walk through nested arguments, which takes longer than the operation does on the meta device; where the
    arguments are not nested, the formula inside is asked directly.
    """
    formula = flop_registry[func.overloadpacket]
    inside = getattr(formula, "__wrapped__", None)
    if inside is None or kwargs or not isinstance(out, Tensor) or any(isinstance(a, (list, tuple)) and _nested(a) for a in args):
        return int(formula(*args, **kwargs, out_val=out)) // 2
    return int(inside(*(a.shape if isinstance(a, Tensor) else a for a in args), out_shape=out.shape)) // 2


def _nested(values: Any) -> bool:
    """Return whether a list holds tensors."""
    return any(isinstance(value, Tensor) for value in values)


class _Counter(Seeing):
    """Adds up the operations of one forward pass by the weight they use.

    torch's ``FlopCounterMode`` tells modules apart by hooks on all modules of the process, so a second thread's forward pass lands in
    its table. A dispatch mode belongs to one thread; the formulas are torch's own.
    """

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = names
        self.macs: dict[str, int] = {"": 0}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        kwargs = kwargs or {}
        out = without_values(func, args, kwargs)
        if func.overloadpacket in flop_registry:
            macs = macs_of(func, args, kwargs, out)
            self.macs[""] += macs
            inputs = [a if a._base is None else a._base for a in args if isinstance(a, Tensor)]  # a transposed weight is a view of it
            name = next((self.names[id(a)] for a in inputs if id(a) in self.names), None)
            if name is not None:
                self.macs[name] = self.macs.get(name, 0) + macs
        return out


def _run(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Count the MACs of one forward pass of a copy, by layer."""
    names = {id(model.get_parameter(weight_name(model, name))): name for name in channel_layers(model)}
    counter = _Counter(names)
    batch = zeros(model, input_shape, 1)
    with torch.no_grad(), counter:
        answer(model, batch)
    return counter.macs


def _measure(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Count on the meta device; with values where the model asks for some."""
    try:
        try:
            return _run(meta_copy(model), input_shape)
        except (RuntimeError, NotImplementedError, TypeError) as error:  # the last by numpy
            if "meta" not in str(error).lower():
                raise
            return _run(copied(model).eval(), input_shape)
    except PrunekitError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"the model does not run on an input of shape {list(input_shape)}: {lines[0].rstrip('.') if lines else type(error).__name__}. "
            f"{SEVERAL if 'positional argument' in str(error) else 'Give the input size that it was made for, or data that fit'}"
        ) from error


def costs(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the MACs of one sample by layer, those of the whole model under ``""``; remembered for each model."""
    shape = form_for(model, input_shape)
    return remembered(_cache, model, (shape, likeness(model)), lambda: _measure(model, shape))


def count_on(model: nn.Module, meta: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Count a model's MACs now, on a copy without values that is at hand, if that copy runs."""
    shape = form_for(model, input_shape)
    with suppress(Exception):  # whoever asks for them is told what is wrong
        remembered(_cache, model, (shape, likeness(model)), lambda: _run(meta, shape))


def layer_macs(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the MACs of each prunable layer for one sample: of every operation that uses its weight.

    Counted by the formulas of ``torch.utils.flop_counter`` (two operations are one MAC) on the meta device: nothing is computed, unless
    the model's control flow depends on values.

    Parameters
    ----------
    model : nn.Module
        Any model.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    dict of str to int
        Layer name to MACs; a weight that several modules share counts all of its uses, under its first name.

    Raises
    ------
    ModelError
        If the model does not run on such an input.
    """
    return {name: macs for name, macs in costs(model, input_shape).items() if name}


def model_macs(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the MACs of one forward pass of one sample (convolutions, matrix products, attention)."""
    return costs(model, input_shape)[""]


def nonzeros(tensor: Tensor) -> int:
    """Return how many values of a tensor are not zero: by numpy where that can, which is several times faster."""
    tensor = tensor.detach()
    return int(np.count_nonzero(tensor.numpy()) if tensor.dtype in COUNTED and tensor.is_cpu else torch.count_nonzero(tensor))


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
    macs, masks = layer_macs(model, input_shape), masks or {}
    total = model_macs(model, input_shape)
    params = sum(p.numel() for p in model.parameters())
    counted = {id(p): nonzeros(p) for p in model.parameters()}
    nonzero = sum(counted.values())
    effective, zeros, prunable = float(total), 0, 0
    for name in prunable_layers(model):
        weight = model.get_parameter(weight_name(model, name))
        alive = counted[id(weight)]
        left = nonzeros(weight * masks[name]) if name in masks else alive
        nonzero -= alive - left
        zeros, prunable = zeros + weight.numel() - left, prunable + weight.numel()
        effective -= macs.get(name, 0) * (1 - left / max(weight.numel(), 1))
    return Counts(params, nonzero, total, round(effective), zeros / max(prunable, 1), prunable)


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
