"""What enters a layer, for the criteria that score by it: norms of each input, and products of inputs (X'X)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import BaseTorchFunctionMode

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.criteria.criterion import ScoringTask
from prunekit.criteria.samples import headless_copy, run_in_parts
from prunekit.errors import ModelError
from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import Seeing
from prunekit.models.running import task_of
from prunekit.tasks.batch import Batch

aten = torch.ops.aten
PRODUCTS = {aten.mm: 1, aten.bmm: 1, aten.addmm: 2, aten.baddbmm: 2}  # which argument is the second matrix; the first comes before it


LEAST = 1e-30
"""Below it squares of float32 may have been lost."""
LOOK_UPS = {aten.embedding, aten._embedding_bag, aten._embedding_bag_forward_only}


def input_norms(task: ScoringTask) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer and the norm of what each element of its weight is multiplied with, over all samples and positions.

    Float32 on the CPU, of a shape that broadcasts to the weight's; 0 for a layer that the forward pass does not reach.
    """
    assert task.samples is not None
    model, judge = headless_copy(task.model, task.layers), task_of(task.model, task.samples)
    weights = {name: model.get_parameter(weight_name(model, name)) for name in task.layers}
    inputs = _Inputs(weights)

    def run(batch: Batch) -> Any:
        # with any torch-function mode on, attention takes the path whose single operations can be seen
        with torch.no_grad(), BaseTorchFunctionMode(), inputs:
            return judge.forward(model, batch)

    run_in_parts(task.samples, run)
    for name, weight in weights.items():
        yield name, inputs.norm(name, weight)


class _Inputs(Seeing):
    """Adds up, for each element of some weights, the squares of the inputs that it is multiplied with."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {id(weight): weight for weight in weights.values()}
        self.energy: dict[int, Tensor] = {}
        self.unclear: dict[int, str] = {}
        self._last: tuple[Tensor, Tensor] | None = None  # several layers may be multiplied with one input

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for position, value in enumerate(() if func.is_view else args):
            base = value if not isinstance(value, Tensor) or value._base is None else value._base  # a transposed weight is a view of it
            if id(base) in self.weights:
                self._see(func, args, position, self.weights[id(base)], out)
        return out

    def _see(self, func: Any, args: tuple[Any, ...], position: int, weight: Tensor, out: Any) -> None:
        """Take in one operation that uses a weight."""
        operation, value = func.overloadpacket, args[position]
        if operation is aten.convolution and position == 1 and value is weight and args[6]:  # each input meets the whole kernel
            energy = _energy(args[0].transpose(0, 1).flatten(1).t()).reshape(-1, *[1] * (weight.dim() - 1))
        elif operation is aten.convolution and position == 1 and value is weight:
            energy = _convolved(args[0], weight.shape, stride=args[3], padding=args[4], dilation=args[5], groups=args[8])
        elif PRODUCTS.get(operation) == position and is_transposed(value, weight):
            energy = self._of_rows(args[position - 1]).reshape(1, *weight.shape[1:])
        elif PRODUCTS.get(operation) == position and (rows := rows_of(value, weight)) is not None:
            energy = torch.zeros(weight.shape, dtype=torch.float64, device=weight.device)
            energy[rows] = self._of_rows(args[position - 1])
        elif PRODUCTS.get(operation) == position and value.shape == weight.shape and value.stride() == weight.stride():
            energy = self._of_rows(args[position - 1]).reshape(-1, 1)  # a weight of [in, out]
        elif operation in LOOK_UPS and position == 0:
            energy = torch.bincount(args[1].flatten(), minlength=len(weight)).double().reshape(-1, 1)  # each row meets a one
        elif operation is aten._trilinear and position == 1:
            energy = (args[0].double().square().t() @ args[2].double().square())[None]
        elif operation is aten.mkldnn_rnn_layer and position in {1, 2}:
            states = torch.cat([args[5][None], out[0][1:] if args[7] else out[0][:-1]])
            energy = _energy((args[0] if position == 1 else states).flatten(0, -2)).reshape(1, -1)
        else:
            self.unclear[id(weight)] = str(operation)
            return
        self.energy[id(weight)] = self.energy.get(id(weight), 0) + energy

    def _of_rows(self, x: Tensor) -> Tensor:
        """Return the sum of squares of each feature of an input of a product."""
        if self._last is None or self._last[0].data_ptr() != x.data_ptr() or self._last[0].shape != x.shape:
            self._last = x, _energy(x.flatten(0, -2))
        return self._last[1]

    def norm(self, name: str, weight: Tensor) -> Tensor:
        """Return the norm of what each element of a weight met: float32 on the CPU, of a shape that broadcasts to the weight's."""
        energy = self.energy.get(id(weight))
        if energy is not None:
            return energy.sqrt().float().cpu()
        if id(weight) in self.unclear:
            raise ModelError(
                f"criterion 'wanda' cannot see what layer {name} is multiplied with: the model hands its weight to "
                f"{self.unclear[id(weight)]}. Leave the layer out, or choose another criterion, such as {DEFAULT_CRITERION}"
            )
        return torch.zeros(())


def is_transposed(value: Tensor, weight: Tensor) -> bool:
    """Return whether a matrix (or a batch of it) is a whole weight, transposed; that of a 1 x 1 convolution may be one too."""
    expected = weight.flatten(1).t()
    return value.shape[-2:] == expected.shape and value.stride()[-2:] == expected.stride()


def rows_of(value: Tensor, weight: Tensor) -> slice | None:
    """Return which rows of a weight a matrix (or a batch of it) is, transposed, such as those of keys of packed attention; else None."""
    if weight.dim() != 2 or not weight.is_contiguous() or value.dim() < 2 or value.stride()[-2:] != (1, weight.shape[1]):
        return None
    start, across = divmod(int(value.storage_offset()) - int(weight.storage_offset()), weight.shape[1])
    return slice(start, start + value.shape[-1]) if not across and value.shape[-2] == weight.shape[1] else None


def _energy(x: Tensor) -> Tensor:
    """Return the sum of squares over the first axis in float64, without a float64 copy; in float32 where that holds the squares."""
    if x.dtype == torch.float32:
        energy = x.square().sum(0).double()
        if bool(torch.isfinite(energy).all()) and float(energy.min()) > LEAST:
            return energy
    norm: Tensor = torch.linalg.vector_norm(x, dim=0, dtype=torch.float64)
    return norm.square()


def _convolved(
    x: Tensor, shape: Sequence[int], *, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """Return the sum of squares that each element of a kernel meets: ``[1 or out, in / groups, *kernel]``.

    The squares are summed over the samples first, then, for each offset of the kernel, over the positions that it visits: nothing is
    unfolded.
    """
    kernel = shape[2:]
    padded = F.pad(_energy(x), [side for p in reversed(padding) for side in (p, p)])
    span = [(n - d * (k - 1) - 1) // s * s + 1 for n, k, s, d in zip(padded.shape[1:], kernel, stride, dilation, strict=True)]
    sums = []
    for offset in itertools.product(*map(range, kernel)):
        steps = (slice(o * d, o * d + n, s) for o, d, n, s in zip(offset, dilation, span, stride, strict=True))
        sums.append(padded[(slice(None), *steps)].flatten(1).sum(1))
    energy = torch.stack(sums, 1).reshape(groups, -1, *kernel)
    return energy if groups == 1 else energy.repeat_interleave(shape[0] // groups, 0)


def finite(name: str, score: Tensor) -> Tensor:
    """Return a layer's scores, or say that its inputs are not finite."""
    if bool(torch.isfinite(score).all()):
        return score
    raise ModelError(
        f"the inputs of layer {name} hold NaN or infinity: the model's weights are damaged, or the samples are not normalised as it expects"
    )


class InputProducts(Seeing):
    """Adds up, for some weights, the products of what they are multiplied with: ``[inputs, inputs]`` for a matrix.

    A weight whose inputs each meet one row of it alone (an embedding) has a column ``[rows]`` of counts; of one that is a matrix of a
    product, too (a tied head), the rows' mean count is added to the diagonal. A convolution's inputs are the offsets of its kernel, input
    channels last.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = weights
        self._names = {id(weight): name for name, weight in weights.items()}
        self._found: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
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
        # of packed attention whose queries come of other inputs than its keys, all rows share the sum of both products
        if PRODUCTS.get(operation) == position and (is_transposed(value, weight) or straight or rows_of(value, weight) is not None):
            self._add(name, self._product(args[position - 1]))
        elif operation is aten.convolution and position == 1 and value is weight and not args[6] and args[8] == 1 and weight.dim() == 4:
            columns = F.unfold(args[0].float(), weight.shape[2:], args[5], args[4], args[3])
            by_offset = columns.view(len(columns), weight.shape[1], -1, columns.shape[2]).permute(0, 3, 2, 1).flatten(2)
            self._add(name, self._product(by_offset))
        elif operation in LOOK_UPS and position == 0:
            self._counts[name] = self._counts.get(name, 0) + torch.bincount(args[1].flatten(), minlength=len(weight)).float()
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
        """Return a layer's product; zeros where the forward pass does not reach it."""
        if name in self._unclear:
            raise ModelError(
                f"criterion 'sparsegpt' cannot see what layer {name} is multiplied with: the model hands its weight to "
                f"{self._unclear[name]}. Leave the layer out, or choose another criterion, such as {DEFAULT_CRITERION}"
            )
        found, counts = self._found.get(name), self._counts.get(name)
        if found is None:
            shape = self.weights[name].shape
            return torch.zeros([math.prod(shape[1:])] * 2) if counts is None else counts
        if not bool(torch.isfinite(found).all()):
            raise ModelError(f"the inputs of layer {name} hold NaN or infinity: normalise the data as the model expects them")
        return found if counts is None else found + counts.mean() * torch.eye(len(found), device=found.device)
