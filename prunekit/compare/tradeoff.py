"""Two figures against each other: the Pareto front, and the best run within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from prunekit.compare.columns import Column, Comparison


@dataclass(frozen=True)
class Metric:
    """One figure of a column.

    Attributes
    ----------
    title : str
        As people read it.
    unit : {"share", "count", "bytes", "ratio"}
        Share: a fraction, shown in percent. Ratio: a multiple of the dense model's.
    higher_is_better : bool
        Which way.
    value : callable
        Column -> float or None (not measured).
    best_word : str
        The superlative: ``smallest``, ``most accurate``.
    """

    title: str
    unit: str
    higher_is_better: bool
    value: Callable[[Column], float | None]
    best_word: str

    def text(self, number: float) -> str:
        """Return a value as people read it, as in ``97.5 %`` or ``34.1 kB``."""
        raise NotImplementedError


METRICS: dict[str, Metric] = {}
"""Name -> figure: accuracy, shipped, params, nonzero, macs, effective_macs, sparsity, dense, gzip, sparse, surgery, time."""


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
