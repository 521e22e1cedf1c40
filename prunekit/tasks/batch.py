"""`Batch`: what a model is called with, and what it should have answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from prunekit.errors import DataError
from prunekit.tasks.nested import map_tensors, named_tensors, parts_of, rebuilt

INPUT = "input"
Collate = Callable[[list[Any]], Any]


class PerSample(list[Any]):
    """A list with an entry for each sample, such as images or boxes of different sizes; a plain list may be a nest of tensors with rows."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples as a model takes them: it is called as ``model(*args, **kwargs)``.

    Parameters
    ----------
    args, kwargs : tuple, dict
        Tensors of any type, also nested in tuples, lists, dicts and dataclasses; None and plain values pass through. A tensor whose first
        axis is as long as there are samples holds a row for each of them, and a `PerSample` an entry; others (a shared mask) belong to all.
    targets : Any
        What the model should have answered: a tensor, a nest of them, or a list with an entry for each sample; None where nothing is known.
    samples : int
        How many; left out, the length of the first tensor that has an axis.

    Raises
    ------
    DataError
        If no tensor says how many samples there are.

    Examples
    --------
    >>> Batch.of({"ids": torch.zeros(4, 7, dtype=torch.int64), "mask": None}, torch.zeros(4))
    Batch(4 samples: ids [4, 7] int64; targets [4] float32)
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    targets: Any = None
    samples: int = -1

    def __post_init__(self) -> None:
        """Count the samples."""
        if self.samples < 0:
            known = next((len(tensor) for _, tensor in self.named_tensors() if tensor.ndim), None)
            if known is None:
                raise DataError("a batch needs a tensor with an axis of samples: give inputs of shape [samples, ...]")
            object.__setattr__(self, "samples", known)  # the dataclass is frozen for everyone else
        if isinstance(self.targets, list) and len(self.targets) == self.samples:
            object.__setattr__(self, "targets", PerSample(self.targets))

    @classmethod
    def of(cls, inputs: Any, targets: Any = None, samples: int = -1) -> Batch:
        """Return inputs as a batch: a tuple is positional arguments, a mapping is keyword arguments, all else is one argument.

        A batch is returned itself, with ``targets`` where it has none.
        """
        if isinstance(inputs, Batch):
            return inputs if targets is None else replace(inputs, targets=targets)
        if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
            return cls(inputs, {}, targets, samples)
        if isinstance(inputs, Mapping) and all(isinstance(key, str) and key.isidentifier() for key in inputs):
            return cls((), dict(inputs), targets, samples)
        return cls((inputs,), {}, targets, samples)

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every input tensor with its dotted name: ``input`` (``input.0``, ... of several) for positional ones, else the keyword."""
        first = self.args[0] if len(self.args) == 1 else self.args
        for path, tensor in named_tensors(first, ""):
            yield f"{INPUT}.{path}".rstrip("."), tensor
        for key, part in self.kwargs.items():
            for path, tensor in named_tensors(part, ""):
                yield f"{key}.{path}".rstrip("."), tensor

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """Return the batch on another device; ``dtype`` is for floating inputs only: integers, booleans and targets keep theirs."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        targets = map_tensors(lambda tensor: tensor.to(device=device), self.targets)
        return replace(self, args=map_tensors(moved, self.args), kwargs=map_tensors(moved, self.kwargs), targets=targets)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with every tensor of its inputs changed."""
        return replace(self, args=map_tensors(change, self.args), kwargs=map_tensors(change, self.kwargs))

    def take(self, indices: int | ArrayLike | Tensor) -> Batch:
        """Return the samples at ``indices``, or the first so many."""
        places = np.arange(self.samples)
        chosen = places[:indices] if isinstance(indices, int) else places[np.asarray(indices, dtype=np.int64)]

        def pick(tree: Any) -> Any:
            return _picked(tree, chosen, self.samples)

        args, kwargs = tuple(pick(part) for part in self.args), {key: pick(part) for key, part in self.kwargs.items()}
        return Batch(args, kwargs, pick(self.targets), len(chosen))

    @classmethod
    def concat(cls, batches: Sequence[Batch]) -> Batch:
        """Return several batches of one form as one, in order.

        Raises
        ------
        DataError
            If there are none, or they differ in form.
        """
        if len(batches) == 1:
            return batches[0]
        if not batches:
            raise DataError("there are no samples to put into a batch")
        sizes = [batch.samples for batch in batches]
        try:
            args, kwargs, targets = (_joined([getattr(batch, part) for batch in batches], sizes) for part in ("args", "kwargs", "targets"))
        except (RuntimeError, KeyError, AttributeError, TypeError) as error:
            raise DataError(f"these batches are not of one form, and cannot be held together: {str(error).splitlines()[0]}") from None
        return cls(args, kwargs, targets, sum(sizes))

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.samples

    def __repr__(self) -> str:
        """Return shapes and types."""
        count = f"{self.samples} sample{'' if self.samples == 1 else 's'}"
        inputs = ", ".join(f"{name} {_form(tensor)}" for name, tensor in self.named_tensors())
        targets = ", ".join(f"{name} {_form(tensor)}".strip() for name, tensor in named_tensors(self.targets, ""))
        return f"Batch({count}: {inputs}{'; targets ' + targets if targets else ''})"


def _form(tensor: Tensor) -> str:
    """Return shape and type of a tensor."""
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _picked(tree: Any, chosen: NDArray[np.int64], samples: int) -> Any:
    """Return the rows of every tensor that has one for each sample, and the entries of every `PerSample`."""
    if isinstance(tree, (Tensor, np.ndarray)):
        return tree[chosen] if tree.ndim and len(tree) == samples else tree
    if isinstance(tree, PerSample):
        return PerSample(tree[i] for i in chosen)
    return rebuilt(tree, lambda part: _picked(part, chosen, samples))


def _joined(trees: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return trees of one form as one: rows behind rows, and what belongs to all samples once."""
    first = trees[0]
    if isinstance(first, (Tensor, np.ndarray)):
        if not first.ndim or any(len(tree) != size for tree, size in zip(trees, sizes, strict=True)):
            return first
        return torch.cat(list(trees)) if isinstance(first, Tensor) else np.concatenate(list(trees))
    if isinstance(first, PerSample):
        return PerSample(entry for tree in trees for entry in tree)
    parts = [dict(parts_of(tree)) for tree in trees]
    joined = iter([_joined([part[key] for part in parts], sizes) for key in parts[0]])
    return rebuilt(first, lambda _: next(joined))


def collate(samples: Sequence[tuple[Any, Any]], own: Collate | None = None) -> Batch:
    """Return samples as one batch.

    Parameters
    ----------
    samples : sequence of (inputs, target)
        Inputs are a tensor, a tuple (positional arguments) or a dict (keyword arguments), nested as they like. Numbers and arrays become
        tensors.
    own : callable, optional
        The user's own: gets the list of samples and returns ``(inputs, targets)`` or a `Batch`.

    Returns
    -------
    Batch
        Tensors stacked along a new first axis. Targets that cannot be stacked (boxes, say) stay a list.

    Raises
    ------
    DataError
        If there are no samples, or inputs differ in shape or form.
    """
    if not len(samples):
        raise DataError("there are no samples to put into a batch")
    if own is not None:
        made = own(list(samples))
        if isinstance(made, Batch):
            return made
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise DataError(f"collate must return (inputs, targets) or a Batch; it returned a {type(made).__name__}")
        return Batch.of(made[0], made[1], len(samples))
    try:
        inputs = _stacked([inputs for inputs, _ in samples], INPUT)
    except _Uneven as error:
        raise DataError(f"{error}; bring the samples to one form, or give the data a collate") from None
    targets: Any = [target for _, target in samples]
    with suppress(_Uneven):
        targets = _stacked(targets, "target")
    return Batch.of(inputs, targets, len(samples))


class _Uneven(Exception):
    """Values that make no tensor together."""


def _stacked(values: list[Any], path: str) -> Any:
    """Return values of one form as one value of that form, its tensors with a new first axis."""
    first = values[0]
    if isinstance(first, (Tensor, np.ndarray, np.generic, bool, int, float)):
        try:
            tensors = [torch.as_tensor(value) for value in values]
        except (TypeError, RuntimeError):
            raise _Uneven(f"{path} is not a tensor or a number in every sample") from None
        odd = next((i for i, tensor in enumerate(tensors) if tensor.shape != tensors[0].shape), None)
        if odd is not None:
            raise _Uneven(f"{path} of sample {odd} is {list(tensors[odd].shape)}, and of sample 0 {list(tensors[0].shape)}")
        return torch.stack(tensors)
    if any(type(value) is not type(first) for value in values):
        raise _Uneven(f"{path} is a {type(first).__name__} in sample 0 and something else in another")
    if isinstance(first, (Mapping, list, tuple)) or is_dataclass(first):
        parts = [dict(parts_of(value)) for value in values]
        if any(part.keys() != parts[0].keys() for part in parts):
            raise _Uneven(f"{path} does not hold the same in every sample")
        stacks = iter([_stacked([part[key] for part in parts], f"{path}.{key}") for key in parts[0]])
        return rebuilt(first, lambda _: next(stacks))
    return None if first is None else PerSample(values)
