"""`Comparison`: the dense model and some runs side by side, as plain frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunekit import tasks
from prunekit.comparison.columns import Column, SettingRow
from prunekit.comparison.metrics import METRICS, PARTS, Metric, metrics_of, quality_of
from prunekit.evaluation.quality import by_chance, chance_sentence
from prunekit.formatting import listed
from prunekit.notebook import card, notes, table
from prunekit.runtimes.backends import RUNTIMES


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
    def quality(self) -> tasks.Metric:
        """What was measured of all: accuracy where nothing was."""
        return quality_of(column.accuracy for column in self.all)

    @property
    def units(self) -> str:
        """What several samples are called: ``images``, ``rows``."""
        return next((column.accuracy.units for column in self.all if column.accuracy is not None), "samples")

    @property
    def metrics(self) -> dict[str, Metric]:
        """The figures of a column by name, `METRICS` with the metric that was measured; those of tables only where there are any."""
        found = metrics_of(self.quality)
        tables = any(column.shipped is not None and column.shipped.parts is not None for column in self.all)
        return found if tables else {name: metric for name, metric in found.items() if name not in PARTS}

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

    def _repr_html_(self) -> str:
        """Return it for a notebook: the answer, and the figures of all columns."""
        told: list[tuple[object, ...]] = [("", *(column.called if column is not self.baseline else "dense" for column in self.all))]
        for metric in self.metrics.values():
            values = [metric.value(column) for column in self.all]
            told.append((metric.title, *(None if value is None else metric.text(value) for value in values)))
        header = ["", *(column.letter for column in self.all)]
        return card("Comparison", f"{self.answer}.", table(header, told), notes(filter(None, (self.caution, *self.doubts))))

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


def _number(value: float | None) -> float:
    """Return a figure, NaN where there is none."""
    return np.nan if value is None else float(value)
