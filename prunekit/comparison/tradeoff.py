"""Two figures against each other: the Pareto front, and the best run within a budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import METRICS, Metric, metrics_of
from prunekit.errors import PrunekitError, one_of
from prunekit.tasks.classification import ACCURACY

__all__ = ["METRICS", "Best", "Metric", "best_within", "metric_frame", "metrics_in", "pareto"]
QUALITY = "quality"


@dataclass(frozen=True)
class Best:
    """What fits a budget.

    Attributes
    ----------
    letter, run : str
        Of the best; both "" where nothing fits.
    sentence : str
        Which, why, and what was left out because it was never measured.
    """

    letter: str
    run: str
    sentence: str


def metric_frame(comparison: Comparison, baseline: bool = True) -> pd.DataFrame:
    """Return a row for each column of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What to show.
    baseline : bool
        Whether the dense model is in it.

    Returns
    -------
    DataFrame
        ``letter``, ``run`` (id), ``title``, each of `METRICS` (float, NaN where not measured), ``accuracy_low``, ``accuracy_high``.
    """
    rows = []
    for column in comparison.all if baseline else comparison.columns:
        told = {name: metric.value(column) for name, metric in METRICS.items()}
        figures = {name: np.nan if value is None else float(value) for name, value in told.items()}
        low, high = (np.nan, np.nan) if column.accuracy is None else (column.accuracy.low, column.accuracy.high)
        who: dict[str, object] = {"letter": column.letter, "run": column.run.id, "title": column.called}
        rows.append(who | figures | {"accuracy_low": low, "accuracy_high": high})
    frame = pd.DataFrame(rows, columns=["letter", "run", "title", *METRICS, "accuracy_low", "accuracy_high"])
    frame.attrs[QUALITY] = comparison.quality
    return frame


def metrics_in(frame: pd.DataFrame) -> dict[str, Metric]:
    """Return what the figures of a frame of `metric_frame` are; accuracy where it does not say what quality."""
    return metrics_of(frame.attrs.get(QUALITY, ACCURACY))


def pareto(frame: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Say which rows no other row beats.

    A row is beaten by one that is at least as good in both figures and better in one; equal rows do not beat each other.

    Parameters
    ----------
    frame : DataFrame
        Of `metric_frame`.
    x, y : str
        Names of `METRICS`, which say which way is better.

    Returns
    -------
    Series of bool
        By the frame's index; False where one of the two figures is missing.
    """
    a, b = _badness(frame, x), _badness(frame, y)
    at_least = (a[:, None] <= a) & (b[:, None] <= b)  # [i, j]: row i is at least as good as row j in both
    better = at_least & ((a[:, None] < a) | (b[:, None] < b))
    front = ~better.any(axis=0) & np.isfinite(a) & np.isfinite(b)
    return pd.Series(front, index=frame.index, name="front")


def best_within(frame: pd.DataFrame, metric: str, bound: float, objective: str) -> Best:
    """Find the best run within a budget, such as the smallest with at least 90 %.

    Parameters
    ----------
    frame : DataFrame
        Of `metric_frame`.
    metric : str
        What is bounded: at least ``bound`` where higher is better, at most where lower is.
    bound : float
        In the metric's own unit (accuracy as a fraction).
    objective : str
        What is to be as good as possible; among equals the better ``metric`` decides.

    Returns
    -------
    Best
    """
    what, goal = _metric(frame, metric), _metric(frame, objective)
    if not np.isfinite(bound):
        raise PrunekitError(f"the bound of {what.title.lower()} must be a number; got {bound!r}")
    limit, sign = ("at least", 1) if what.higher_is_better else ("at most", -1)
    words = f"{limit} {what.text(bound)} ({what.title.lower()})"
    measured = frame[np.isfinite(frame[metric]) & np.isfinite(frame[objective])]
    left_out = _left_out(frame.drop(measured.index), [metric, objective])
    within = measured[sign * measured[metric] >= sign * bound]
    if within.empty:
        return Best("", "", _none(measured, metric, words) + left_out)
    order = np.lexsort((_badness(within, metric), _badness(within, objective)))
    row = within.iloc[order[0]]
    told = f"{row.letter} is the {goal.best_word} with {words}: {goal.text(row[objective])}"
    told += "" if metric == objective else f" at {what.text(row[metric])}"
    return Best(str(row.letter), str(row.run), told + _unsure(row, metric, bound, what) + "." + left_out)


def _metric(frame: pd.DataFrame, name: str) -> Metric:
    """Return a metric by its name."""
    one_of("metric", name, METRICS, PrunekitError)
    return metrics_in(frame)[name]


def _badness(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a figure so that lower is better; what is missing is NaN, which compares as neither."""
    values: NDArray[np.float64] = frame[name].to_numpy(dtype=np.float64)
    return -values if _metric(frame, name).higher_is_better else values


def _left_out(rows: pd.DataFrame, names: list[str]) -> str:
    """Say which rows have no figure."""
    if rows.empty:
        return ""
    titles = " or ".join(_metric(rows, name).title.lower() for name in dict.fromkeys(names) if not np.isfinite(rows[name]).all())
    return f" Left out, because {titles} was not measured: {', '.join(rows.letter)}."


def _none(measured: pd.DataFrame, metric: str, words: str) -> str:
    """Say that nothing fits, and what comes nearest."""
    if measured.empty:
        return f"Nothing can be said about {words}: nothing was measured."
    nearest = measured.iloc[int(np.argmin(_badness(measured, metric)))]
    return f"No run has {words}; nearest is {nearest.letter} with {_metric(measured, metric).text(nearest[metric])}."


def _unsure(row: pd.Series, metric: str, bound: float, what: Metric) -> str:
    """Say where the interval of a quality reaches beyond the bound."""
    end, way = (row.accuracy_low, "down") if what.higher_is_better else (row.accuracy_high, "up")
    if metric != "accuracy" or not (end < bound if what.higher_is_better else end > bound):
        return ""
    return f" (its interval reaches {way} to {what.text(end)})"
