"""Lengths of axes after a removal, and what is proportional to their products: sizes of parameters, multiply-accumulates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.trace_facts import Facts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class AxisMeter:
    """Every axis of a model as a row of a sparse matrix over classes, so that all lengths are one product with a vector."""

    sizes: Ids  # [axes]: lengths in the dense model
    table: csr_array  # [axes, classes]: how many elements of each axis are of each class
    tensors: dict[str, tuple[int, ...]]  # state name -> its axes, as rows
    # layer, or ``""``; multiply-accumulates for axes of length one; axes; the module that runs it. Of one pass over some samples
    products: tuple[tuple[str, int, tuple[int, ...], str], ...]
    whole: dict[str, int]  # layer -> multiply-accumulates for one sample of the dense model

    @classmethod
    def of(cls, facts: Facts, label: Ids, weights: dict[str, str], macs: dict[str, int]) -> AxisMeter:
        """Lay out the axes of a model from what was observed, the class of each element, and the state name and MACs of each layer."""
        rows: list[Ids] = []
        known: dict[int, int] = {}

        def row(ids: Ids) -> int:
            if id(ids) not in known:
                known[id(ids)] = len(rows)
                rows.append(ids)
            return known[id(ids)]

        tensors: dict[str, dict[int, int]] = defaultdict(dict)
        for (name, axis), ids in facts.axes.items():
            tensors[name][axis] = row(ids)
        layers = {weight: layer for layer, weight in weights.items()}
        products = []
        for product in facts.products:
            unit, rest = divmod(product.macs, math.prod(ids.size for ids in product.axes))
            axes = tuple(row(ids) for ids in product.axes) if not rest else ()
            products.append((layers.get(product.weight, ""), unit if not rest else product.macs, axes, product.where))
        shapes = {name: tuple(axes[k] for k in range(len(axes))) for name, axes in tensors.items()}
        return cls(np.array([ids.size for ids in rows]), _table(label, rows), shapes, tuple(products), macs)

    def kept(self, gone: NDArray[np.bool_]) -> Ids:
        """Return how many elements of each axis stay; ``gone`` says by class what goes."""
        return np.asarray(self.sizes - self.table @ gone.astype(np.int64))

    def shape(self, name: str, counts: Ids | None = None) -> tuple[int, ...]:
        """Return the shape of a state entry, in the dense model or at the counts that :meth:`kept` returned."""
        found = self.sizes if counts is None else counts
        return tuple(int(found[axis]) for axis in self.tensors.get(name, ()))

    def removed_params(self, counts: Ids, names: Iterable[str]) -> int:
        """Return how many elements of some state entries go."""
        return sum(math.prod(self.shape(name)) - math.prod(self.shape(name, counts)) for name in names)

    def macs(self, counts: Ids, blocks: tuple[str, ...] = ()) -> dict[str, int]:
        """Return the multiply-accumulates of each layer for one sample; under ``""`` those of all other products."""
        before: dict[str, int] = defaultdict(int)
        after: dict[str, int] = defaultdict(int)
        for name, unit, axes, where in self.products:
            before[name] += unit * math.prod(int(self.sizes[axis]) for axis in axes)
            if not within(where, blocks):
                after[name] += unit * math.prod(int(counts[axis]) for axis in axes)
        return {name: whole * after[name] // before[name] if before[name] else whole for name, whole in self.whole.items()}


def within(name: str, blocks: tuple[str, ...]) -> bool:
    """Return whether a module or state entry is one of some modules, or stands in one of them."""
    return any(name == block or name.startswith(f"{block}.") for block in blocks)


def _table(label: Ids, rows: list[Ids]) -> csr_array:
    """Return how many elements of each axis are of each class."""
    from scipy.sparse import csr_array  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

    index = np.concatenate([np.zeros(0, np.int64), *(label[ids] for ids in rows)])
    ends = np.concatenate([[0], np.cumsum([ids.size for ids in rows])]).astype(np.int64)
    return csr_array((np.ones(index.size, np.int64), index, ends), shape=(len(rows), label.size))
