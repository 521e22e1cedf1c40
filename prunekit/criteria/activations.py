"""Mean absolute values of what layers give and take, by channel, seen operation by operation as input norms are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import BaseTorchFunctionMode

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.criteria.criterion import Scores, ScoringTask
from prunekit.criteria.layer_inputs import LOOK_UPS, PRODUCTS, finite, is_transposed
from prunekit.criteria.samples import headless_copy, run_in_parts
from prunekit.errors import ModelError
from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import Seeing
from prunekit.models.running import task_of
from prunekit.tasks.batch import Batch

aten = torch.ops.aten
LOOKED_UP = "looked up"


def mean_sizes(task: ScoringTask) -> Scores:
    """Return for each layer the mean absolute value along the axis that the task's layouts name: of its outputs, or of its inputs.

    Float32 on the CPU; 0 for a layer that the forward pass does not reach.
    """
    assert task.samples is not None
    model, judge = headless_copy(task.model, task.layers), task_of(task.model, task.samples)
    weights = {name: model.get_parameter(weight_name(model, name)) for name in task.layers}
    seen = _Sizes(weights, {name: task.layouts.get(name, (0, 1))[0] for name in weights})

    def run(batch: Batch) -> Any:
        with torch.no_grad(), BaseTorchFunctionMode(), seen:
            return judge.forward(model, batch)

    run_in_parts(task.samples, run)
    return {name: finite(name, seen.mean(name)) for name in weights}


class _Sizes(Seeing):
    """Adds up absolute values by channel of what some weights are multiplied with, or of what comes of it."""

    def __init__(self, weights: Mapping[str, Tensor], axes: Mapping[str, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights, self.axes = weights, axes
        self._names = {id(weight): name for name, weight in weights.items()}
        self._sums: dict[Any, tuple[Tensor, int]] = {}
        self._unclear: dict[str, str] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for position, value in enumerate(() if func.is_view else args):
            base = value if not isinstance(value, Tensor) or value._base is None else value._base
            if id(base) in self._names:
                self._see(func.overloadpacket, args, position, self._names[id(base)], out)
        return out

    def _see(self, operation: Any, args: tuple[Any, ...], position: int, name: str, out: Tensor) -> None:
        """Take in one operation that uses a weight."""
        weight, value, axis = self.weights[name], args[position], self.axes[name]
        straight = value.shape == weight.shape and value.stride() == weight.stride()
        if PRODUCTS.get(operation) == position and (is_transposed(value, weight) or straight):
            gives = axis == (0 if is_transposed(value, weight) else 1)
            self._add(name, (out if gives else args[position - 1]).flatten(0, -2))
        elif operation is aten.convolution and position == 1 and value is weight:
            gives = axis == (1 if args[6] else 0)
            self._add(name, (out if gives else args[0]).movedim(1, -1).flatten(0, -2))
        elif operation in LOOK_UPS and position == 0 and axis == 1:
            self._add((name, LOOKED_UP), (out[0] if isinstance(out, tuple) else out).flatten(0, -2))
        else:
            self._unclear[name] = str(operation)

    def _add(self, name: Any, x: Tensor) -> None:
        """Add what came by, ``[places, channels]``; several groups of a convolution read by the same columns."""
        found, count = x.abs().sum(0, dtype=torch.float64), len(x)
        known = self._sums.get(name)
        self._sums[name] = (found, count) if known is None else (known[0] + found, known[1] + count)

    def mean(self, name: str) -> Tensor:
        """Return the mean by channel."""
        if name in self._unclear:
            raise ModelError(
                f"criterion 'activation' cannot see what layer {name} gives: the model hands its weight to {self._unclear[name]}. Leave "
                f"the layer out, or choose another criterion, such as {DEFAULT_CRITERION}"
            )
        wanted = self.weights[name].shape[self.axes[name]]
        # an embedding that is also the head gives what is looked up in it
        total, count = self._sums.get((name, LOOKED_UP)) or self._sums.get(name) or (torch.zeros(wanted), 1)
        grouped = wanted < total.numel() and total.numel() % wanted == 0 and self.axes[name] == 1
        return ((total.view(-1, wanted).mean(0) if grouped else total) / count).float().cpu()
