"""What a criterion runs: a copy of the model, on which images, in which mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from prunekit.errors import DataError
from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import check_plain, copied
from prunekit.models.outputs import tensors_of
from prunekit.models.running import classes_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of


def scoring_copy(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parameters share the model's memory and take gradients.

    The model itself may serve other threads meanwhile: nothing of it is changed, not even for the time of a call (which is what
    ``torch.func.functional_call`` does). Buffers are copied: a forward pass could write to them.
    """
    check_plain(model)
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        # autograd refuses tensors that were made in inference mode
        value = parameter.detach().clone() if parameter.is_inference() else parameter.detach()
        memo[id(parameter)] = nn.Parameter(value, requires_grad=value.is_floating_point() or value.is_complex())
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().clone()
    return copied(model, memo).eval()


def headless_copy(model: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Return a scoring copy to run for what enters some layers: a language model's gives its last states instead of a vocabulary's scores.

    Unless its head is asked about too: the scores would be most of the memory, and a good part of the work.
    """
    own: Any = scoring_copy(model)
    head: Any = own.get_output_embeddings() if hasattr(own, "get_output_embeddings") else None
    plain = isinstance(head, nn.Linear)
    if plain and all(own.get_parameter(weight_name(own, name)) is not head.weight for name in layers):
        head.forward = lambda states: states
    return own  # type: ignore[no-any-return]


BATCH = 32
"""Images in a mini-batch: Taylor averages over mini-batches of this size, and nothing holds the activations of more images at once."""


ANSWERS = 1 << 24
"""How many numbers a model may answer with at a time: a vocabulary's scores at every place of 32 texts are gigabytes."""

OF_TASK = ("task", "target_scale")
"""What a split may say of its task: a choice of its samples says the same."""


@dataclass(eq=False)
class Held:
    """Samples in memory, for data that can only be read in order or one by one."""

    batch: Batch
    classes: int = 0

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.batch.samples

    @property
    def targets(self) -> Any:
        """What the model should answer."""
        return self.batch.targets

    def take(self, indices: NDArray[np.int64]) -> Held:
        """Return the samples at ``indices``, in that order."""
        return Held(self.batch.take(indices), self.classes)

    def batches(self, batch_size: int) -> Iterator[Any]:
        """Yield the samples in order: as pairs where they are one tensor, as any split does."""
        for start in range(0, len(self), batch_size):
            part = self.batch.take(np.arange(start, min(start + batch_size, len(self))))
            yield (part.args[0], part.targets) if len(part.args) == 1 and not part.kwargs else part


def run_in_parts(samples: Any, run: Callable[[Batch], Any]) -> None:
    """Run on all samples in mini-batches: of `BATCH`, or of texts as many as a model answers with at most `ANSWERS` numbers, 2 at least.

    For what is summed over samples, so that it does not matter how they are put together.
    """
    size = 0
    for batch in batches_of(samples, BATCH):
        begin = 0
        if not size and not any(tensor.is_floating_point() for _, tensor in batch.named_tensors()):
            begin = min(2, batch.samples)
            answer = sum(each.numel() for each in tensors_of(run(batch.take(begin))).values())
            size = min(BATCH, max(2, ANSWERS * begin // max(answer, 1)))
        size = size or BATCH
        for start in range(begin, batch.samples, size):
            run(batch if size >= batch.samples and not start else batch.take(np.arange(start, min(start + size, batch.samples))))


def scoring_split(data: Any) -> tuple[Any, str]:
    """Return the split that criteria look at, and its name.

    Parameters
    ----------
    data : Data or Split
        A data set as ``load_data`` returns it, or one split (anything with ``batches(batch_size)``).

    Returns
    -------
    tuple
        The training split; the validation split where there is none, and the test split where there is neither. The name is
        ``"training"``, ``"validation"``, ``"test"``, or ``"given"`` for a split that was passed by itself.

    Raises
    ------
    DataError
        If ``data`` is neither.
    """
    if hasattr(data, "batches") or isinstance(data, Dataset):
        return data, "given"
    for field, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        split = getattr(data, field, None)
        if split is not None:
            return split, name
    raise DataError(f"a criterion cannot read samples from {type(data).__name__}: pass data as load_data returns it, or one of its splits")


def scored_on(data: Any, samples: int = 512) -> str | None:
    """Return a sentence on the images that a criterion looked at, or None where they were training images or given as such.

    Parameters
    ----------
    data : Data or Split
        As for :func:`scoring_split`.
    samples : int
        How many images were asked for.
    """
    split, name = scoring_split(data)
    if name in ("training", "given"):
        return None
    return (
        f"There are no training samples: the criterion looked at {min(samples, len(split)):,} {name} samples, so quality on the "
        f"{name} samples is not independent of what was removed"
    )


def mixed(data: Any, samples: int, seed: int) -> Any:
    """Return the images to score on, in an order that the seed alone decides.

    A stratified choice may be grouped by class, and a mini-batch of one class has another gradient than a mixed one: hence the shuffle.
    """
    split, name = scoring_split(data)
    chosen = split.subset(samples) if hasattr(split, "subset") and hasattr(split, "take") else _first(split, samples)
    if not len(chosen):
        raise DataError(f"there are no {name} samples to score on: choose data that are not empty")
    samples_of = chosen.take(np.argsort(np.random.default_rng(seed).random(len(chosen)), kind="stable"))
    samples_of.classes = classes_of(split) or classes_of(samples_of)
    for name in OF_TASK:
        said = getattr(split, name, getattr(data, name, None))
        if said is not None:
            setattr(samples_of, name, said)
    return samples_of


def _first(split: Any, samples: int) -> Held:
    """Read the first samples of anything that has batches."""
    found, count = list[Batch](), 0
    for batch in batches_of(split, BATCH):
        found.append(batch)
        count += batch.samples
        if count >= samples:
            break
    if not found:
        return Held(Batch((torch.empty(0),), {}, torch.empty(0, dtype=torch.int64)))
    whole = Batch.concat(found)
    return Held(whole if count <= samples else whole.take(samples))
