"""How often each row of an embedding table is looked up in training data, and what the loss would lose with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.criteria.gradients import finite, gradients
from prunekit.criteria.samples import mixed, scoring_split
from prunekit.criteria.scoring_copy import headless_copy
from prunekit.criteria.scoring_task import ScoringTask
from prunekit.errors import DataError
from prunekit.models.running import task_of
from prunekit.models.shared_rows import row_of_id, table_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of

Rows = dict[str, NDArray[np.float64]]
BATCH = 256


class _Enough(Exception):
    """All that a forward pass looks up has been seen."""


def count_lookups(model: nn.Module, tables: Sequence[str], data: Any) -> Rows:
    """Return how often each row of some tables is looked up, over all training samples.

    Where the lookups come first, as they mostly do, the rest of each forward pass is not run.
    """
    if data is None:
        raise DataError("how often rows are looked up is counted in training data: pass data=..., or let rows go by their norm")
    split = scoring_split(data)[0]
    own = headless_copy(model, ())
    task = task_of(model, data)
    of = {name: row_of_id(table_of(own, name)) for name in tables}
    found: Rows = {name: np.zeros(table_of(own, name).weight.shape[0]) for name in tables}
    asked: list[tuple[str, Tensor]] = []
    alike: list[bool] = []  # for each lookup of a forward pass: whether it is the same for any number of samples, as that of positions is

    def watch(name: str) -> None:
        def look(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _out: Any) -> None:
            asked.append((name, kwargs["input"] if "input" in kwargs else args[0]))
            if len(asked) == len(alike):
                raise _Enough

        table_of(own, name).register_forward_hook(look, with_kwargs=True)

    def lookups(batch: Batch) -> list[tuple[str, Tensor]]:
        asked.clear()
        with suppress(_Enough):
            task.forward(own, batch)
        return list(asked)

    for name in tables:
        watch(name)
    with torch.no_grad():
        for batch in batches_of(split, BATCH):
            if not alike and batch.samples > 1:
                one, two = (lookups(batch.take(np.arange(samples))) for samples in (1, 2))
                alike = [a.numel() == b.numel() for (_, a), (_, b) in zip(one, two, strict=False)]
            for place, (name, ids) in enumerate(lookups(batch)):
                times = batch.samples if place < len(alike) and alike[place] else 1
                np.add.at(found[name], of[name][ids.detach().cpu().numpy().reshape(-1)], float(times))
    return found


def row_saliency(model: nn.Module, tables: Sequence[str], data: Any, *, samples: int = 512, seed: int = 0) -> Rows:
    """Return by how much the loss changes with each row, to first order: the sum over its weights of |gradient x weight|.

    Of the mean loss of each mini-batch, added up over mini-batches, as criterion taylor has it for single weights.
    """
    asking = ScoringTask(model, tuple(tables), seed, mixed(data, samples, seed))
    found: Rows = {}
    for of_batch in gradients(asking, "mean"):
        for name, gradient in of_batch.items():
            product = finite(name, (gradient * asking.weight(name).detach()).abs().double().sum(1)).numpy()
            found[name] = found.get(name, 0.0) + product
    return found
