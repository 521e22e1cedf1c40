"""The columns of a comparison: one model with its figures, its speed, what it ships as, and the rows of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prunekit.evaluation.paired import Difference
from prunekit.evaluation.quality import Evaluation, quality_document
from prunekit.experiments.records import Measurement, Run
from prunekit.formatting import times
from prunekit.latency.interleaved_timing import Ratio, speed_words


@dataclass(frozen=True)
class Speed:
    """The time of a forward pass by that of the dense model, measured in turns on this machine in the same runtime.

    Attributes
    ----------
    ratio, low, high : float
        Time by the dense model's time, and its 95 % interval: below 1 is faster.
    different : bool
        Whether it can be told from 1.
    runtime, device : str
        What ran both.
    batch, threads : int
        How.
    median_ms : float or None
        Of this run, in milliseconds.
    what : str
        Which phase, at which length; "" for a forward pass of samples that have none.
    """

    ratio: float
    low: float
    high: float
    different: bool
    runtime: str
    batch: int
    threads: int
    device: str
    median_ms: float | None = None
    what: str = ""

    def where(self) -> str:
        """Say under which conditions, as in ``eager, batch 1, 1 thread, cpu``."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return ", ".join(filter(None, (self.runtime, self.what, f"batch {self.batch}", threads, self.device)))

    def words(self) -> str:
        """Say it with its interval and conditions, as in ``is 1.80× faster than dense (95 % interval 1.75 to 1.86), batch 1, ...``."""
        told = speed_words(Ratio(self.ratio, self.low, self.high, self.different), "dense")
        return f"{told}, {self.where().partition(', ')[2]}"

    def sentence(self) -> str:
        """Say it in plain words, as in ``1.80× faster``."""
        if not self.different:
            return "no measurable difference in time"
        return f"{times(1 / self.ratio)} faster" if self.ratio < 1 else f"{times(self.ratio)} slower"


@dataclass(frozen=True)
class Shipped:
    """The bytes that people would ship.

    Attributes
    ----------
    bytes : int
        How many.
    how : str
        As which file: of the channels that are left, in the best sparse format, as the int8 file, or as it is.
    parts : mapping of str to int, optional
        The bytes of embedding tables and of all else (`prunekit.evaluation.sizes.parts`); None where that is not told.
    """

    bytes: int
    how: str
    parts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Column:
    """One run in a comparison. What was never measured is None.

    Attributes
    ----------
    run : Run
        What was made.
    letter : str
        "Dense", or "A" to "F".
    title : str
        As people read it.
    name : str
        What somebody called it; "" for nothing.
    accuracy : Accuracy or None
        On the images of the comparison; a quantised model's in its own runtime.
    difference : Difference or None
        Accuracy minus the dense model's, paired on the same images; None for the dense model itself.
    params, nonzero, macs, effective_macs : int or None
        Counted, not measured.
    sparsity : float or None
        Share of the dense model's prunable weights that are zero or gone, 0..1.
    of_all : float or None
        Share of all its parameters that are gone or zero.
    sizes : dict or None
        Bytes: ``dense``, ``gzip``, ``sparse``, ``surgery``.
    shipped : Shipped or None
        The one of the sizes that people would ship.
    latency : tuple of Measurement
        All that was timed, on any machine.
    speed : Speed or None
        Under the one setting in which most of the columns were timed here; None where this one was not.
    speeds : tuple of Speed
        One for each runtime that this one was timed in here, each against the dense model in that runtime.
    gone : str
        Why the run cannot be opened any more; "" where it can.
    earlier : bool
        Whether an earlier version made or measured it, and it cannot be vouched for what it was made of or measured on.
    """

    run: Run
    letter: str
    title: str
    accuracy: Evaluation | None = None
    difference: Difference | None = None
    params: int | None = None
    nonzero: int | None = None
    macs: int | None = None
    effective_macs: int | None = None
    sparsity: float | None = None
    of_all: float | None = None
    sizes: dict[str, int | None] | None = None
    shipped: Shipped | None = None
    latency: tuple[Measurement, ...] = ()
    speed: Speed | None = None
    speeds: tuple[Speed, ...] = ()
    gone: str = ""
    earlier: bool = False
    name: str = ""

    @property
    def called(self) -> str:
        """What it is called: its name, or its title."""
        return self.name or self.title

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = ("letter", "name", "title", "params", "nonzero", "macs", "effective_macs", "sparsity", "of_all", "sizes", "gone", "earlier")
        found = {"run": self.run.id, "kind": self.run.kind, **{name: getattr(self, name) for name in plain}}
        found |= quality_document(self.accuracy)
        found["difference"] = None if self.difference is None else self.difference.to_dict()
        for name in ("shipped", "speed"):
            value = getattr(self, name)
            found[name] = None if value is None else asdict(value)
        found["speeds"] = [asdict(speed) for speed in self.speeds]
        return {**found, "latency": [{**seen.value, "machine": seen.machine, "created": seen.created} for seen in self.latency]}


@dataclass(frozen=True)
class SettingRow:
    """One setting of all columns.

    Attributes
    ----------
    name : str
        As people read it.
    values : tuple of str
        One for each column (the dense model has none), "–" where it does not apply.
    differs : bool
        Whether they are not all the same: such rows are marked.
    counts : bool
        Whether the difference is a choice of its own; one that merely follows from another row (no learning rate where nothing is
        fine-tuned) is marked and not counted.
    """

    name: str
    values: tuple[str, ...]
    differs: bool
    counts: bool = True
