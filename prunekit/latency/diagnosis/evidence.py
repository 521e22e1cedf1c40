"""What is known when somebody asks why a model is not faster: measured numbers, frozen, and nothing that runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit.errors import LatencyError
from prunekit.latency.interleaved_timing import Ratio

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Spread:
    """A time with its quartiles, in milliseconds.

    Attributes
    ----------
    ms, q1, q3 : float
        Median and quartiles over the rounds.
    """

    ms: float
    q1: float
    q3: float

    @classmethod
    def of(cls, seconds: Any) -> Spread:
        """Return median and quartiles of samples in seconds, shape [rounds]."""
        q1, median, q3 = (1000 * float(q) for q in np.quantile(np.asarray(seconds, dtype=float), [0.25, 0.5, 0.75]))
        return cls(median, q1, q3)


@dataclass(frozen=True)
class Machine:
    """What this machine can do at best, measured: the ground on which a layer counts as bound by memory or by the call itself.

    Attributes
    ----------
    copies : tuple of (float, float)
        Bytes read and written by a copy between places that exist, and bytes a second that it reached; rising sizes. What fits into a cache
        is faster.
    fresh : tuple of (float, float)
        Bytes of memory asked for and filled, and bytes a second. A layer's output is such memory, and where the system hands it out anew
        each time (from 32 MiB on with the usual C library) this is many times slower than a copy.
    macs_s : float
        Multiply-accumulates a second of a large matrix product.
    calls : tuple of (str, float)
        Type of layer, and the seconds that a call takes when there is next to nothing to compute.

    Raises
    ------
    LatencyError
        If a figure is missing or not positive.

    References
    ----------
    Williams, Waterman and Patterson 2009, Roofline: an insightful visual performance model for multicore architectures.
    """

    copies: tuple[tuple[float, float], ...]
    fresh: tuple[tuple[float, float], ...]
    macs_s: float
    calls: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        """Check that every figure is a positive number."""
        numbers = [self.macs_s, *(n for pair in (*self.copies, *self.fresh) for n in pair), *(s for _, s in self.calls)]
        if not (self.copies and self.fresh and self.calls) or not all(math.isfinite(n) and n > 0 for n in numbers):
            raise LatencyError("the machine's figures must all be positive numbers, at least one of each")

    def compute_ms(self, macs: float) -> float:
        """Return the time that these multiply-accumulates take at the rate of a large matrix product."""
        return 1000 * macs / self.macs_s

    def memory_ms(self, size: float, fresh: float = 0.0) -> float:
        """Return the time that reading and writing ``size`` bytes takes, ``fresh`` of them in new memory, at the rates of such sizes."""
        return _traffic_ms(self.copies, size - fresh) + _traffic_ms(self.fresh, fresh)

    def call_ms(self, kind: str) -> float:
        """Return the time of an empty call of a type of layer; the shortest that is known for another type."""
        known = dict(self.calls)
        return 1000 * known.get(kind, min(known.values()))


def _traffic_ms(known: tuple[tuple[float, float], ...], size: float) -> float:
    """Return the time of some bytes, at a rate between those of the nearest sizes."""
    sizes, rates = zip(*known, strict=True)
    return 1000 * size / float(np.exp(np.interp(np.log(max(size, 1.0)), np.log(sizes), np.log(rates))))


@dataclass(frozen=True)
class LayerEvidence:
    """One layer before and after, timed in turns.

    Attributes
    ----------
    name, type : str
        Module name and class.
    macs_before, macs_after : float
        Multiply-accumulates of one pass by the shapes of the layer: zeros count like any other number.
    bytes_before, bytes_after : float
        Weights and input read, output written.
    fresh_after : float
        Bytes of the output: new memory for each pass.
    before, after : Spread
        Time in one pass.
    ratio : Ratio
        Time after by time before.
    zeros_before, zeros_after : float
        Share of zeros among the weights, 0 to 1.
    channels_before, channels_after : tuple of (int, int)
        Inputs and outputs.
    sparse : bool
        Whether it runs a sparse kernel after.
    rows_before, rows_after : int
        Of an embedding table, which multiplies nothing; 0 of any other layer.
    break_even : float, optional
        Density below which the sparse kernel is faster at this size and batch on this machine, where that was measured.
    """

    name: str
    type: str
    macs_before: float
    macs_after: float
    bytes_before: float
    bytes_after: float
    fresh_after: float
    before: Spread
    after: Spread
    ratio: Ratio
    zeros_before: float = 0.0
    zeros_after: float = 0.0
    channels_before: tuple[int, int] = (0, 0)
    channels_after: tuple[int, int] = (0, 0)
    sparse: bool = False
    rows_before: int = 0
    rows_after: int = 0
    break_even: float | None = None

    @property
    def shape_ratio(self) -> float:
        """MACs after by MACs before, by shapes alone."""
        return self.macs_after / self.macs_before if self.macs_before else 1.0

    @property
    def new_zeros(self) -> float:
        """Share of weights that pruning set to zero."""
        return max(0.0, self.zeros_after - self.zeros_before)

    @property
    def looks_up(self) -> bool:
        """Whether it is an embedding table."""
        return self.rows_before > 0

    @property
    def odd(self) -> bool:
        """Whether pruning took it off the multiples of eight."""
        return any(after % 8 and after != before for before, after in zip(self.channels_before, self.channels_after, strict=True))


@dataclass(frozen=True)
class Rounded:
    """The same model at channel counts rounded to a multiple, timed in turns with the one that is asked about.

    Attributes
    ----------
    ratio : Ratio
        Time of the rounded model by time of the model in question.
    macs_ratio : float
        Its MACs by those of the model in question.
    multiple : int
        What the channels were rounded to.
    """

    ratio: Ratio
    macs_ratio: float
    multiple: int = 8


@dataclass(frozen=True)
class Evidence:
    """All that is known of one candidate beside its baseline.

    Attributes
    ----------
    ratio : Ratio
        Time of a pass after pruning by the time before, in the runtime in question.
    macs_ratio : float
        MACs after by MACs before, by shapes alone.
    effective_ratio : float
        The same, counting non-zero weights only: what pruning promises.
    zeros : float
        Share of the weights that pruning set to zero, 0 to 1.
    name, runtime : str
        What the candidate is called, and what runs it.
    before, after : Spread, optional
        Time of the whole pass, measured in turns with the layers; None where layers were not timed.
    layers : tuple of LayerEvidence
        In the order of the pass; empty where the runtime does not let layers be told apart.
    machine : Machine, optional
        Needed to tell memory from call overhead.
    rounded : Rounded, optional
        The same model at a multiple of eight channels.
    """

    ratio: Ratio
    macs_ratio: float
    effective_ratio: float
    zeros: float = 0.0
    name: str = "the pruned model"
    runtime: str = "eager"
    before: Spread | None = None
    after: Spread | None = None
    layers: tuple[LayerEvidence, ...] = field(default=(), repr=False)
    machine: Machine | None = None
    rounded: Rounded | None = None

    def __post_init__(self) -> None:
        """Check the shares that everything is held against."""
        if not (0 < self.macs_ratio < math.inf and 0 <= self.effective_ratio < math.inf and 0 <= self.zeros <= 1):
            raise LatencyError(
                "ratios of MACs must be positive and the share of zeros at most 1; "
                f"got {self.macs_ratio}, {self.effective_ratio}, {self.zeros}"
            )

    @property
    def total_ms(self) -> float:
        """Time of a pass after pruning, in milliseconds; at least what its layers take together, 0 where nothing was timed."""
        return max(sum(layer.after.ms for layer in self.layers), self.after.ms if self.after else 0.0)

    def between(self) -> tuple[float, float]:
        """Return the time between the layers before and after, in milliseconds: the pass less the sum over its layers."""
        if self.before is None or self.after is None:
            return 0.0, 0.0
        sums = sum(layer.before.ms for layer in self.layers), sum(layer.after.ms for layer in self.layers)
        return max(0.0, self.before.ms - sums[0]), max(0.0, self.after.ms - sums[1])

    def to_frame(self) -> pd.DataFrame:
        """Return the layers before and after, for a picture.

        Returns
        -------
        DataFrame
            Columns ``layer``, ``type`` and, each with ``_before`` and ``_after``, ``ms``, ``q1``, ``q3``, ``macs``, ``bytes``; the last row
            is what lies between the layers (type ``between``, no MACs, bytes or quartiles).
        """
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        rows = [_row(layer) for layer in self.layers]
        if self.before is not None and self.after is not None:
            rest = self.between()
            known = {"ms_before": rest[0], "ms_after": rest[1], "macs_before": 0.0, "macs_after": 0.0}
            rows.append({"layer": BETWEEN, "type": "between", **known})
        return pd.DataFrame(rows, columns=COLUMNS)


BETWEEN = "between the layers"
_PARTS = ("ms", "q1", "q3", "macs", "bytes")
COLUMNS = ["layer", "type", *(f"{part}_{when}" for when in ("before", "after") for part in _PARTS)]


def _row(layer: LayerEvidence) -> dict[str, Any]:
    """Return one layer as a row of the frame."""
    times = {f"{part}_{when}": getattr(getattr(layer, when), part) for when in ("before", "after") for part in ("ms", "q1", "q3")}
    sizes = {f"{part}_{when}": getattr(layer, f"{part}_{when}") for when in ("before", "after") for part in ("macs", "bytes")}
    return {"layer": layer.name, "type": layer.type, **times, **sizes}
