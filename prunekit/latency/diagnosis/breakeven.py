"""From which density on a sparse linear layer is faster than the dense one, here: measured over density, size and batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from prunekit.errors import LatencyError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.latency.interleaved_timing import Ratio, ratio
from prunekit.latency.worker import ask, check_settings
from prunekit.models.cost import layer_macs

if TYPE_CHECKING:
    import pandas as pd

DENSITIES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
SIZES = ((256, 256), (1024, 1024), (4096, 1024), (4096, 4096))  # outputs, inputs
BATCHES = (1, 8, 64)
BUDGET_S = 60.0
VERSION = 1
TORCH, ONNX = "torch", "onnxruntime"
"""What a sparse layer is compared with: torch's dense layer, or that of ONNX Runtime."""
MINE = (0.02, 0.05, 0.1, 0.2)
"""Densities at which the layers of one model are measured: 90 and 95 % of zeros among them."""
MOST_SIZES, MOST_ROWS = 6, 8


@dataclass(frozen=True)
class Grid:
    """Which layers are measured, how, and beside what: those of a model."""

    sizes: tuple[tuple[int, int], ...]  # outputs and inputs of the layers
    rows: tuple[int, ...]  # rows that they are given at a time: samples, times tokens where they read every token
    densities: tuple[float, ...] = MINE  # shares of weights left
    against: str = ONNX  # ``torch`` or ``onnxruntime``


def grid_of(
    model: nn.Module, input_shape: tuple[int, ...], batches: Sequence[int], lengths: Sequence[int] = (), own: int = 0
) -> Grid | None:
    """Return the linear layers of a model with the rows that they are given; None where it has none.

    ``lengths``, ``own``: tokens of each text, and how many ``input_shape`` has; empty and 0 where samples are no texts.
    """
    macs = layer_macs(model, input_shape)
    linear = {name: module for name, module in model.named_modules() if type(module) is nn.Linear and macs.get(name)}
    sizes = sorted({(each.out_features, each.in_features) for each in linear.values()}, key=lambda size: -size[0] * size[1])[:MOST_SIZES]
    each = {max(1, macs[name] // module.weight.numel()) for name, module in linear.items() if module.weight.shape in sizes}
    rows = {
        batch * (max(1, row * length // own) if own and row > 1 else row)
        for batch in batches
        for row in each
        for length in lengths or (own,)
    }
    rows |= set(batches)  # one token at a time, and heads
    return Grid(tuple(sizes), tuple(sorted(rows)[:MOST_ROWS])) if sizes else None


@dataclass(frozen=True)
class Cell:
    """One measured point.

    Attributes
    ----------
    outputs, inputs, batch : int
        Size of the layer, and samples at a time.
    density : float
        Share of weights left, 0 to 1.
    dense_ms, sparse_ms : float
        Medians.
    ratio : Ratio
        Sparse by dense: below 1 the sparse kernel is faster.
    """

    outputs: int
    inputs: int
    batch: int
    density: float
    dense_ms: float
    sparse_ms: float
    ratio: Ratio


@dataclass(frozen=True)
class BreakEven:
    """Sparse against dense linear layers on one machine.

    Attributes
    ----------
    cells : tuple of Cell
        Every combination of density, size and batch.
    threads : int
        Of torch.
    machine : str
        Version of torch and the instructions that it used.
    rounds : int
        The fewest rounds in which any of them had their turns.
    against : str
        What the sparse layers are compared with: ``torch`` or ``onnxruntime``.
    """

    cells: tuple[Cell, ...] = field(repr=False)
    threads: int
    machine: str
    rounds: int
    against: str = TORCH

    def __post_init__(self) -> None:
        """Refuse an empty table."""
        if not self.cells:
            raise LatencyError("a table of break-even needs at least one measured point")

    def density_at(self, size: Sequence[int], batch: int) -> float:
        """Return the density below which the sparse layer is faster.

        Between measured points it is interpolated: in density where the ratio crosses 1, in size and batch on their logarithms; outside of
        them the nearest counts.

        Parameters
        ----------
        size : sequence of int
            The layer's two widths, in any order.
        batch : int
            Samples at a time.

        Returns
        -------
        float
            0 where no density that was measured is faster, at most the largest that was measured.
        """
        table = self.crossings().pivot_table(index="weights", columns="batch", values="density", aggfunc="mean").sort_index()
        batches = [float(np.log(b)) for b in table.columns]
        by_size = [float(np.interp(np.log(batch), batches, row)) for row in table.to_numpy(dtype=float)]
        return float(np.interp(np.log(max(1.0, float(np.prod(size)))), np.log(table.index.to_numpy(dtype=float)), by_size))

    def crossings(self) -> pd.DataFrame:
        """Return where sparse breaks even.

        Returns
        -------
        DataFrame
            Columns ``size`` (text), ``weights``, ``batch``, ``density`` (below it sparse is faster; 0 where it never is).
        """
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        rows = []
        for (outputs, inputs, batch), group in self.to_frame().groupby(["outputs", "inputs", "batch"], sort=True):
            line = group.sort_values("density")
            rows.append((f"{outputs} × {inputs}", outputs * inputs, batch, _crossing(line["density"].to_numpy(), line["ratio"].to_numpy())))
        return pd.DataFrame(rows, columns=["size", "weights", "batch", "density"])

    def to_frame(self) -> pd.DataFrame:
        """Return all points.

        Returns
        -------
        DataFrame
            Columns ``size`` (text), ``outputs``, ``inputs``, ``batch``, ``density``, ``dense_ms``, ``sparse_ms``, ``ratio``, ``low``,
            ``high``, ``different``.
        """
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        rows = [
            {"size": f"{c.outputs} × {c.inputs}"} | {k: v for k, v in asdict(c).items() if k != "ratio"}
            | {"ratio": c.ratio.value, "low": c.ratio.low, "high": c.ratio.high, "different": c.ratio.different}
            for c in self.cells
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {"threads": self.threads, "machine": self.machine, "rounds": self.rounds}
        plain |= {} if self.against == TORCH else {"against": self.against}
        return {"version": VERSION, **plain, "cells": [asdict(cell) for cell in self.cells]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BreakEven:
        """Build a table from plain values.

        Raises
        ------
        LatencyError
            If they are not what `to_dict` gives.
        """
        try:
            if values["version"] != VERSION:
                raise ValueError
            cells = tuple(_cell(cell) for cell in values["cells"])
            return cls(cells, int(values["threads"]), str(values["machine"]), int(values["rounds"]), str(values.get("against", TORCH)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LatencyError("this is no table of break-even that this version wrote: measure it again") from error


def _cell(values: Mapping[str, Any]) -> Cell:
    """Return a point from plain values; raise ValueError where a number makes no sense."""
    found = values["ratio"]
    r = Ratio(float(found["value"]), float(found["low"]), float(found["high"]), bool(found["different"]))
    outputs, inputs, batch = (int(values[key]) for key in ("outputs", "inputs", "batch"))
    density, dense, sparse = (float(values[key]) for key in ("density", "dense_ms", "sparse_ms"))
    positive = (outputs, inputs, batch, density, dense, sparse, r.low, r.value, r.high)
    if not all(0 < number < float("inf") for number in positive) or not r.low <= r.value <= r.high or density > 1:
        raise ValueError
    return Cell(outputs, inputs, batch, density, dense, sparse, r)


def _crossing(densities: Any, ratios: Any) -> float:
    """Return the density where the ratio rises through 1 for the first time; the ends where it never does."""
    slower = np.flatnonzero(ratios >= 1)
    if not len(slower):
        return float(densities[-1])
    i = int(slower[0])
    if i == 0:
        return 0.0
    return float(np.interp(0.0, np.log(ratios[i - 1 : i + 1]), densities[i - 1 : i + 1]))


def break_even(
    threads: int = 1,
    budget_s: float = BUDGET_S,
    *,
    densities: Sequence[float] = DENSITIES,
    sizes: Sequence[tuple[int, int]] = SIZES,
    batches: Sequence[int] = BATCHES,
    against: str = TORCH,
    min_rounds: int = 5,
    seed: int = 0,
    progress: Progress | Tell = QUIET,
) -> BreakEven:
    """Measure sparse against dense linear layers on this machine, in one fresh child process.

    Parameters
    ----------
    threads : int
        Of torch.
    budget_s : float
        Seconds, about; only ``min_rounds`` of each size and batch may take longer.
    densities : sequence of float
        Shares of weights left, above 0 and at most 1.
    sizes : sequence of (int, int)
        Outputs and inputs of the layers.
    batches : sequence of int
        Samples at a time: rows of what the layers are given.
    against : {"torch", "onnxruntime"}
        Whose dense layer they are compared with.
    min_rounds : int
        Rounds at each size and batch in any case.
    seed : int
        Of weights, patterns and orders.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; may stop the work.

    Returns
    -------
    BreakEven

    Raises
    ------
    LatencyError
        If a setting is not valid or the child process fails.
    Cancelled
        If ``progress`` was cancelled.
    """
    progress = Progress.of(progress)
    check_settings(threads, budget_s, min_rounds=min_rounds)
    _check_grid(densities, sizes, batches)
    request = {"what": "grid", "threads": threads, "budget_s": budget_s, "min_rounds": min_rounds, "seed": seed}
    levels = sorted({float(d) for d in densities})
    grid = {"densities": levels, "sizes": [list(size) for size in sizes], "batches": list(batches), "against": against}
    told = ask(request | grid, {}, progress)
    cells = [cell for group in told["groups"] for cell in _cells(group, levels)]
    rounds = min(len(group["seconds"][0]) for group in told["groups"])
    return BreakEven(tuple(cells), threads, f"torch {told['torch']}, {told['capability']}", rounds, against)


def _cells(group: Mapping[str, Any], densities: Sequence[float]) -> list[Cell]:
    """Return the points of one size and batch."""
    dense, *sparse = group["seconds"]
    base = 1000 * float(np.median(dense))
    outputs, inputs = group["size"]
    pairs = zip(densities, sparse, strict=True)
    return [Cell(outputs, inputs, group["batch"], d, base, 1000 * float(np.median(s)), ratio(s, dense)) for d, s in pairs]


def _check_grid(densities: Sequence[float], sizes: Sequence[tuple[int, int]], batches: Sequence[int]) -> None:
    """Raise unless there is something sound to measure."""
    if not densities or not all(0 < d <= 1 for d in densities):
        raise LatencyError(f"densities must be above 0 and at most 1, one at least; got {list(densities)}")
    if not sizes or not all(len(s) == 2 and all(1 <= n <= 65536 for n in s) for s in sizes):
        raise LatencyError(f"sizes must be pairs of widths from 1 to 65536, one at least; got {list(sizes)}")
    if not batches or not all(1 <= b <= 65536 for b in batches):
        raise LatencyError(f"batches must be from 1 to 65536, one at least; got {list(batches)}")
