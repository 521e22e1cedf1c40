"""`Comparison`: the dense model and some runs side by side, as plain frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunekit.comparison.metrics import METRICS
from prunekit.evaluation.accuracy import Accuracy
from prunekit.evaluation.chance import by_chance, chance_sentence
from prunekit.evaluation.paired import Difference
from prunekit.experiments.records import Measurement, Run
from prunekit.formatting import times
from prunekit.latency.ratio import Ratio, speed_words
from prunekit.runtimes.registry import RUNTIMES


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

    def where(self) -> str:
        """Say under which conditions, as in ``eager, batch 1, 1 thread, cpu``."""
        return f"{self.runtime}, batch {self.batch}, {self.threads} thread{'' if self.threads == 1 else 's'}, {self.device}"

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
    """

    bytes: int
    how: str


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
    accuracy: Accuracy | None = None
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
        for name in ("accuracy", "difference"):
            value = getattr(self, name)
            found[name] = None if value is None else value.to_dict()
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


@dataclass(frozen=True)
class Comparison:
    """Two to six runs of one dense model, side by side.

    Attributes
    ----------
    baseline : Column
        The dense model.
    columns : tuple of Column
        The runs, in order of picking.
    settings : tuple of SettingRow
        What was asked of each; fields that have their default in all runs are left out.
    differing : tuple of str
        Names of the settings that differ and count.
    caution : str
        Why a difference in outcome cannot be put down to one setting, and which of them an earlier version measured; "" where there is
        nothing to say.
    answer : str
        One sentence, computed from the figures: which to take, by the rule that it states.
    best : str
        Letter of the run that the answer names; "" where nothing can be said.
    data : str
        Name of the data that accuracy was measured on; "" where none was measured.
    data_id : dict or None
        Plain fields of its ``DataId``.
    split : str
        Which part of it.
    images : int
        How many images: the same ones for all columns.
    missing : tuple of str
        Ids of the runs (the dense model's too) of which accuracy on these images, or sizes, were never measured by this version.
    """

    baseline: Column
    columns: tuple[Column, ...]
    settings: tuple[SettingRow, ...]
    differing: tuple[str, ...]
    caution: str
    answer: str
    best: str
    data: str
    data_id: dict[str, Any] | None
    split: str
    images: int
    missing: tuple[str, ...]

    @property
    def all(self) -> tuple[Column, ...]:
        """The dense model, then the runs."""
        return (self.baseline, *self.columns)

    @property
    def to_fill(self) -> tuple[str, ...]:
        """What to give to ``prunekit.experiments.backfill.fill`` where anything is missing.

        All runs that can be opened: what was measured on a part of the images only must then be measured on all of them.
        """
        return tuple(column.run.id for column in self.all if not column.gone) if self.missing else ()

    @property
    def within_runtimes(self) -> tuple[str, ...]:
        """A sentence for each run in each runtime that it was timed in: its speed beside the dense model's in that very runtime."""
        return tuple(
            f"In {RUNTIMES[speed.runtime].title if speed.runtime in RUNTIMES else speed.runtime}, {column.letter} {speed.words()}."
            for column in self.columns
            for speed in column.speeds
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against trusting the figures, in sentences: what was guessed of the inputs, and accuracies no better than chance."""
        shapes = [guess for column in self.all for guess in column.run.info.get("guesses", ())]
        guessed = dict.fromkeys([*shapes, *(guess for column in self.all if column.accuracy for guess in column.accuracy.guesses)])
        asked = chance_sentence(self.baseline.accuracy)
        lost = [] if asked else [column.letter for column in self.columns if by_chance(column.accuracy)]
        less = f"{listed(lost)} {'is' if len(lost) == 1 else 'are'} no better than chance" if lost else ""
        return tuple(filter(None, (asked, less, *guessed)))

    def column(self, letter: str) -> Column:
        """Return a column by its letter, the dense model's too."""
        return next(column for column in self.all if column.letter == letter)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        names = [column.letter for column in self.columns]
        rows = [{**asdict(row), "values": dict(zip(names, row.values, strict=True))} for row in self.settings]
        plain = ("answer", "within_runtimes", "best", "caution", "data", "data_id", "split", "images")
        found = {name: getattr(self, name) for name in plain}
        lists = {"doubts": list(self.doubts), "differing": list(self.differing), "missing": list(self.missing), "settings": rows}
        return {**found, **lists, "baseline": self.baseline.to_dict(), "columns": [column.to_dict() for column in self.columns]}

    def to_frame(self, relative: bool = False) -> pd.DataFrame:
        """Return a row for each figure and a column for each run, the dense model first.

        Parameters
        ----------
        relative : bool
            Accuracy as the paired difference from the dense model and sparsity as the plain one (fractions), everything else as a
            multiple of the dense model's.

        Returns
        -------
        DataFrame
            Indexed by metric (`prunekit.comparison.METRICS`), columns by letter; NaN where nothing was measured.
        """
        values = {column.letter: [_number(metric.value(column)) for metric in METRICS.values()] for column in self.all}
        frame = pd.DataFrame(values, index=pd.Index(METRICS, name="metric"), dtype=float)
        return self._against_dense(frame) if relative else frame

    def _against_dense(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the same figures told against the dense model's."""
        dense = frame[self.baseline.letter].copy()
        counted = [name for name, metric in METRICS.items() if metric.unit in ("count", "bytes")]
        frame.loc[counted] = frame.loc[counted].div(dense[counted].where(dense[counted] > 0), axis=0)
        for name in ("sparsity", "of_all"):
            frame.loc[name] -= dense[name]
        frame.loc["accuracy"] = [_number(self._change(column)) for column in self.all]
        return frame

    def _change(self, column: Column) -> float | None:
        """Return the paired difference from the dense model; 0 for the dense model itself."""
        if column is self.baseline:
            return None if column.accuracy is None else 0.0
        return None if column.difference is None else column.difference.value


def listed(names: Sequence[str]) -> str:
    """Return names in a row.

    Examples
    --------
    >>> listed(["A"]), listed(["A", "B", "C"])
    ('A', 'A, B and C')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _number(value: float | None) -> float:
    """Return a figure, NaN where there is none."""
    return np.nan if value is None else float(value)
