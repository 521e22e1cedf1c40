"""Two models on the same samples: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit import statistics
from prunekit.errors import DataError
from prunekit.evaluation.quality import DENSE, Evaluation
from prunekit.statistics.difference import ALPHA, holm
from prunekit.statistics.proportions import difference_interval
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric
from prunekit.tasks.observations import Observations

__all__ = [
    "ALPHA",
    "PART_COLUMNS",
    "Difference",
    "changes_by_part",
    "compare",
    "difference_interval",
    "figures_by_class",
    "figures_by_group",
]

PART_COLUMNS = [
    "class", "name", "letter", "n", "correct", "accuracy", "low", "high", "change", "change_low", "change_high", "p_value", "significant"
]  # fmt: skip


@dataclass(frozen=True)
class Difference(statistics.Difference):
    """How far apart two models are on the same samples, called ``units``, in the metric's own unit."""

    metric: Metric = field(default=ACCURACY, repr=False, compare=False)
    units: str = field(default="images", repr=False, compare=False)

    def sentence(self) -> str:
        """Say it in plain words, as in ``−0.6 points, not significant``."""
        return self.metric.format_difference(self)

    def to_dict(self) -> dict[str, float | bool]:
        """Return plain values for JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("metric", "units")}


def compare(a: Evaluation, b: Evaluation) -> Difference:
    """Compare two models that were measured on the same samples in the same order.

    Parameters
    ----------
    a, b : Evaluation
        The baseline and the other model, from :func:`prunekit.evaluation.evaluate`.

    Returns
    -------
    Difference
        ``b`` minus ``a``, paired.

    Raises
    ------
    DataError
        If they are not of the same samples, or not of the same metric.
    """
    if a.metric.name != b.metric.name:
        raise DataError(f"{a.metric.title} and {b.metric.title} cannot be compared: measure the same of both")
    return Difference(**a.metric.compare(a.observations, b.observations).to_dict(), metric=a.metric, units=a.units)  # type: ignore[arg-type]


def lies_clear(metric: Metric, dense: Observations, pruned: Observations, allowed: float, alpha: float = ALPHA) -> bool:
    """Return whether the loss against the dense model lies wholly above, or wholly below, what is allowed, by its paired interval.

    An interval without width says nothing: the bootstrap gives one where no sample changed, and more samples may hold one that does.
    """
    lost = metric.lost(metric.compare(dense, pruned, alpha))
    return bool(lost.low < lost.high and (lost.low > allowed or lost.high < allowed))


def figures_by_class(found: Mapping[str, Evaluation], classes: Sequence[str] = ()) -> pd.DataFrame:
    """Return the task's figure of each class that the dense model has one of, by run, in `PART_COLUMNS`."""
    dense = found[DENSE]
    metrics = [] if dense.task is None else [*dense.task.by_class(dense.observations, classes)]
    named = [(classes[k] if k < len(classes) else str(k), metric) for k, metric in enumerate(metrics)]

    def under(metric: Metric) -> Callable[[Evaluation], Evaluation]:
        return lambda seen: seen.under(metric)

    return figures_by_part(found, [(name, under(metric)) for name, metric in named])


def figures_by_group(found: Mapping[str, Evaluation], groups: Mapping[str, NDArray[np.bool_]], metric: Metric) -> pd.DataFrame:
    """Return a metric of each group of samples, by run, in `PART_COLUMNS`.

    ``groups`` [n]: name to which samples: `prunekit.tasks.protocol.Task.groups`.
    """
    if any(each.size != found[DENSE].n for each in groups.values()):
        raise DataError("these groups are not of the samples that were measured: measure the runs again on the same data")

    def within(places: NDArray[np.bool_]) -> Callable[[Evaluation], Evaluation]:
        def of(seen: Evaluation) -> Evaluation:
            part = seen.observations.take(np.flatnonzero(places))
            return Evaluation(metric.reduce(part), np.nan, np.nan, part.n, part, metric, task=seen.task)

        return of

    return figures_by_part(found, [(name, within(places)) for name, places in groups.items()])


def figures_by_part(found: Mapping[str, Evaluation], parts: Sequence[tuple[str, Callable[[Evaluation], Evaluation]]]) -> pd.DataFrame:
    """Return the figure of each part that the dense model has one of, by run."""
    rows, known = [], {}
    for k, (_, of) in enumerate(parts):
        with suppress(DataError):
            known[k] = of(found[DENSE])
    for letter, each in found.items():
        own: dict[int, Evaluation] = {}
        for k, of_dense in known.items():
            with suppress(DataError):
                own[k] = of_dense if letter == DENSE else parts[k][1](each)
        told = [(k, parts[k][0], letter, e.n, np.nan, e.value, e.low, e.high) for k, e in own.items()]
        changes = changes_by_part(letter, {k: known[k] for k in own}, own)
        rows.append(pd.concat([pd.DataFrame(told, columns=PART_COLUMNS[:8]), changes], axis=1))
    return pd.concat(rows, ignore_index=True)


def changes_by_part(letter: str, dense: Mapping[int, Evaluation], found: Mapping[int, Evaluation]) -> pd.DataFrame:
    """Return the paired change of each class; Holm's step-down keeps the chance of one false alarm in a run at 5 %."""
    if letter == DENSE:
        blank = pd.DataFrame(np.nan, index=range(len(dense)), columns=PART_COLUMNS[8:12])
        return blank.assign(significant=False)
    differences = [compare(dense[k], found[k]) for k in found]
    p_values = np.array([difference.p_value for difference in differences])
    rows = [(d.value, d.low, d.high, d.p_value) for d in differences]
    return pd.DataFrame(rows, columns=PART_COLUMNS[8:12]).assign(significant=holm(p_values))
