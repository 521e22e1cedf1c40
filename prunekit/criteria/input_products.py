"""Products of the inputs of layers with themselves, X'X: the second derivatives of a layer's squared error by its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit.criteria.input_norms import LOOK_UPS, PRODUCTS, is_transposed
from prunekit.errors import ModelError
from prunekit.models.meta_copy import Seeing

aten = torch.ops.aten


class InputProducts(Seeing):
    """Adds up, for some weights, the products of what they are multiplied with: ``[inputs, inputs]`` for a matrix.

    A weight whose inputs each meet one row of it alone (an embedding) has a column ``[rows]`` of counts. A convolution's inputs are the
    offsets of its kernel, input channels last.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By layer.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = weights
        self._names = {id(weight): name for name, weight in weights.items()}
        self._found: dict[str, Tensor] = {}
        self._unclear: dict[str, str] = {}
        self._last: tuple[Tensor, Tensor] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for position, value in enumerate(() if func.is_view else args):
            base = value if not isinstance(value, Tensor) or value._base is None else value._base
            if id(base) in self._names:
                self._see(func.overloadpacket, args, position, self._names[id(base)])
        return out

    def _see(self, operation: Any, args: tuple[Any, ...], position: int, name: str) -> None:
        """Take in one operation that uses a weight."""
        weight, value = self.weights[name], args[position]
        straight = value.shape == weight.shape and value.stride() == weight.stride()
        if PRODUCTS.get(operation) == position and (is_transposed(value, weight) or straight):
            self._add(name, self._product(args[position - 1]))
        elif operation is aten.convolution and position == 1 and value is weight and not args[6] and args[8] == 1 and weight.dim() == 4:
            columns = F.unfold(args[0].float(), weight.shape[2:], args[5], args[4], args[3])
            by_offset = columns.view(len(columns), weight.shape[1], -1, columns.shape[2]).permute(0, 3, 2, 1).flatten(2)
            self._add(name, self._product(by_offset))
        elif operation in LOOK_UPS and position == 0:
            self._add(name, torch.bincount(args[1].flatten(), minlength=len(weight)).float())
        else:
            self._unclear[name] = str(operation)

    def _product(self, x: Tensor) -> Tensor:
        """Return X'X in float32; of an input that several layers share only once."""
        if self._last is None or self._last[0].data_ptr() != x.data_ptr() or self._last[0].shape != x.shape:
            flat = x.reshape(-1, x.shape[-1]).float()
            self._last = x, flat.t() @ flat
        return self._last[1]

    def _add(self, name: str, product: Tensor) -> None:
        """Add to what a layer has met."""
        self._found[name] = self._found[name].add_(product) if name in self._found else product.clone()

    def of(self, name: str) -> Tensor:
        """Return a layer's product; zeros where the forward pass does not reach it.

        Raises
        ------
        ModelError
            If it cannot be seen what the weight is multiplied with, or the inputs are not finite.
        """
        if name in self._unclear:
            raise ModelError(
                f"criterion 'sparsegpt' cannot see what layer {name} is multiplied with: the model hands its weight to "
                f"{self._unclear[name]}. Leave the layer out, or choose another criterion, such as l1"
            )
        shape = self.weights[name].shape
        found = self._found.get(name, torch.zeros([math.prod(shape[1:])] * 2) if name not in self._found else None)
        if found is None or not bool(torch.isfinite(found).all()):
            raise ModelError(f"the inputs of layer {name} hold NaN or infinity: normalise the data as the model expects them")
        return found
