"""`Metric`: a figure of quality with its unit, which way is better, its interval, and the paired comparison of two models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, TaskError, one_of
from prunekit.statistics.bootstrap import QUICK, ByUnit, Sums, Weighted, bootstrap_difference, bootstrap_interval
from prunekit.statistics.difference import ALPHA, Difference
from prunekit.statistics.proportions import paired_proportions, wilson
from prunekit.tasks.observations import Observations

HIGHER, LOWER = "higher", "lower"
PERCENT = "%"
MOST_TRIED, ALIKE = 1024, 1e-9
Figure: TypeAlias = Callable[[Observations], float] | Sums | Weighted | ByUnit


@dataclass(frozen=True)
class Metric:
    """One figure of what was observed.

    Parameters
    ----------
    name, title : str
        As in JSON and in the store, and as people read it.
    figure : callable, Sums, Weighted or ByUnit
        Observations -> float. `prunekit.statistics.Sums`, `Weighted` and `ByUnit` make intervals quick.
    unit : str
        "%" for a fraction in 0..1 that is shown in percent; "" for none; else as it is written behind the figure, such as "kWh".
    better : {"higher", "lower"}
    chance : callable, optional
        Observations -> the figure of the best answer that does not look at the input.
    decimals : int, optional
        Places shown; left out, three significant digits.
    needs : str
        Why it is undefined on samples that leave it so, as part of a sentence.

    Raises
    ------
    TaskError
        If ``better`` is neither.
    """

    name: str
    title: str
    figure: Figure
    unit: str = ""
    better: str = HIGHER
    chance: Callable[[Observations], float] | None = None
    decimals: int | None = None
    needs: str = ""

    def __post_init__(self) -> None:
        """Check the direction."""
        one_of(f"better of the metric {self.name}", self.better, (HIGHER, LOWER), TaskError)

    @property
    def phrase(self) -> str:
        """The title within a sentence: ``accuracy``, ``mean absolute error``, ``R²``, ``IoU of road``."""
        return self.title[:1].lower() + self.title[1:] if self.title.partition(" ")[0][1:].islower() else self.title

    def reduce(self, observations: Observations) -> float:
        """Return the figure.

        Raises
        ------
        DataError
            If there are no samples, or they leave it undefined.
        """
        if not observations.n:
            raise DataError(f"there are no samples to measure {self.title} on: choose data that are not empty")
        value = float(self.figure(observations))
        if np.isnan(value):
            why = f" ({self.needs})" if self.needs else ""
            raise DataError(f"{self.title} is undefined on these {observations.n} samples{why}: choose more of them, or others")
        return value

    def interval(self, observations: Observations) -> tuple[float, float]:
        """Return the 95 % interval: by the bootstrap over samples, or over groups where there are any; NaN where none can be said."""
        how = None if isinstance(self.figure, QUICK) else "percentile"
        return bootstrap_interval(observations, self._figure(observations), groups=observations.groups, method=how)

    def compare(self, a: Observations, b: Observations, alpha: float = ALPHA) -> Difference:
        """Return the figure of ``b`` minus that of ``a``, paired on the same samples in the same order, at a level.

        Raises
        ------
        DataError
            If they are not of the same samples.
        """
        self._check(a, b)
        return bootstrap_difference(a, b, self._figure(a, b), groups=a.groups, alpha=alpha)

    def summary(self, observations: Observations) -> dict[str, float | int | str | None]:
        """Return value, interval (None where none can be said), n, title, unit and direction: plain values for JSON."""
        low, high = (None if np.isnan(end) else end for end in self.interval(observations))
        seen = {"value": self.reduce(observations), "low": low, "high": high, "n": observations.n}
        return seen | {"title": self.title, "unit": self.unit, "better": self.better}

    def loss(self, before: float, after: float) -> float:
        """Return how much quality went from one value to another: positive where it got worse, whichever direction is better."""
        return before - after if self.better == HIGHER else after - before

    def lost(self, difference: Difference) -> Difference:
        """Return a difference as quality lost: positive where the second is worse, whichever direction is better."""
        if self.better == LOWER:
            return difference
        return replace(difference, value=-difference.value, low=-difference.high, high=-difference.low)

    def is_better(self, a: float, b: float) -> bool:
        """Whether value ``a`` is better than ``b``."""
        return self.loss(a, b) > 0

    def format(self, value: float) -> str:
        """Return a value as people read it, as in ``97.2 %``, ``0.512`` or ``21.4 kWh``."""
        return f"{self.number(value)}{self._suffix()}"

    def span(self, low: float, high: float) -> str:
        """Return an interval as people read it, as in ``96.1 to 98.0 %`` or ``1.24 to 1.31 kWh``."""
        return f"{self.number(low)} to {self.format(high)}"

    def format_difference(self, difference: Difference | float) -> str:
        """Return a difference as people read it, as in ``−0.6 points, not significant`` or ``+0.013``."""
        value = difference if isinstance(difference, (int, float)) else difference.value
        number = self.number(abs(value))
        sign = "" if not float(number.replace(",", "")) else ("+" if value > 0 else "−")
        text = f"{sign}{number}{' points' if self.unit == PERCENT else self._suffix()}"
        if isinstance(difference, (int, float)):
            return text
        return f"{text}, {'significant' if difference.significant else 'not significant'}"

    def _suffix(self) -> str:
        """Return the unit behind a number."""
        return f" {self.unit}" if self.unit else ""

    def number(self, value: float) -> str:
        """Return a value without its unit."""
        shown, decimals = (100 * value, 1) if self.unit == PERCENT else (value, self.decimals)
        if self.decimals is not None:
            decimals = self.decimals
        if decimals is None:
            decimals = 0 if not np.isfinite(shown) or not shown else int(np.clip(2 - np.floor(np.log10(abs(shown))), 0, 12))
        text = f"{abs(shown):,.{decimals}f}"
        return f"−{text}" if shown < 0 and any(digit in "123456789" for digit in text) else text

    def _figure(self, *seen: Observations) -> Any:
        """Return the figure in a form that resamples groups as groups, and a plain function that is a mean over samples all at once."""
        if isinstance(self.figure, QUICK):
            return self.figure
        tried = {id(rows): by_sample(self.figure, rows) for rows in seen}
        each = {place: values for place, values in tried.items() if values is not None}
        if len(each) == len(tried):
            return Sums(lambda rows: np.column_stack([each[id(rows)], np.ones(rows.n)]), lambda sums: sums[..., 0] / sums[..., 1])
        return Weighted(lambda seen, weights: [self.figure(seen.repeat(row)) for row in weights])

    def _check(self, a: Observations, b: Observations) -> None:
        """Raise unless both are of the same samples."""
        if a.n != b.n:
            raise DataError(f"a paired comparison needs the same samples; got {a.n} and {b.n}. Measure both on the same data")
        if not a.same_samples(b):
            raise DataError("a paired comparison needs the same samples in the same order, and these differ. Measure both on the same data")


def by_sample(figure: Callable[[Observations], float], seen: Observations) -> NDArray[np.float64] | None:
    """Return a figure of each sample alone, where it is the mean of these over any choice of samples: told by trying some choices.

    None where it is not, or where trying every sample would take longer than resampling.
    """
    if seen.groups is not None or not 1 < seen.n <= MOST_TRIED:
        return None

    def of(places: NDArray[np.int64]) -> float:
        return float(figure(seen.take(places)))

    generator, found = np.random.default_rng(0), np.full(seen.n, np.nan)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for place in range(seen.n):
                found[place] = of(np.array([place]))
                if place == 1 and not np.isclose(of(np.arange(2)), found[:2].mean(), rtol=ALIKE, atol=0):
                    return None
            chosen = [generator.integers(0, seen.n, size) for size in (seen.n, seen.n, 1 + seen.n // 2, 3)]
            alike = all(np.isclose(of(places), found[places].mean(), rtol=ALIKE, atol=0) for places in (np.arange(seen.n), *chosen))
    except Exception:  # whatever a user's own code makes of a single sample
        return None
    return found if alike else None


@dataclass(frozen=True)
class Proportion(Metric):
    """The share of samples where one column is not 0: Wilson's interval, McNemar's exact comparison.

    Parameters
    ----------
    column : str
        Which column.
    """

    column: str = "correct"

    def interval(self, observations: Observations) -> tuple[float, float]:
        """Return Wilson's 95 % interval; of grouped samples the bootstrap over groups."""
        if observations.groups is not None:
            return super().interval(observations)
        return wilson(int(np.count_nonzero(observations[self.column])), observations.n)

    def compare(self, a: Observations, b: Observations, alpha: float = ALPHA) -> Difference:
        """Return the share of ``b`` minus that of ``a``, by McNemar's exact test; of grouped samples by the bootstrap over groups."""
        if a.groups is not None:
            return super().compare(a, b, alpha)
        self._check(a, b)
        return paired_proportions(a[self.column] != 0, b[self.column] != 0, alpha)

    def _check(self, a: Observations, b: Observations) -> None:
        """Raise unless both are of the same samples, by the columns that both have: one that was stored has the share's alone."""
        both = [name for name in a.columns if name in b.columns]
        super()._check(*(Observations(np.column_stack([each[name] for name in both]), tuple(both), each.groups) for each in (a, b)))


def proportion(name: str, title: str, column: str, chance: Callable[[Observations], float] | None = None) -> Proportion:
    """Return the metric "share of samples where a column is not 0", in percent, more is better."""
    return Proportion(name, title, mean_of(lambda seen: seen[column] != 0), PERCENT, HIGHER, chance, column=column)


def mean_of(values: Callable[[Observations], NDArray[Any]]) -> Sums:
    """Return the mean over samples of what ``values`` gives for each."""
    return Sums(lambda seen: np.column_stack([values(seen), np.ones(seen.n)]).astype(np.float64), lambda sums: sums[..., 0] / sums[..., 1])


def metric(
    figure: Figure | None = None, *, better: str, unit: str = "", name: str = "", title: str = "", decimals: int | None = None
) -> Any:
    """Make a metric of a function of observations; also as a decorator.

    Parameters
    ----------
    figure : callable
        Observations -> float.
    better : {"higher", "lower"}
    unit, name, title, decimals
        As for `Metric`; the name is the function's where left out.

    Returns
    -------
    Metric

    Examples
    --------
    >>> @metric(better="lower", unit="kWh")
    ... def mean_error(seen):
    ...     return abs(seen["error"]).mean()
    >>> mean_error.format(12.345)
    '12.3 kWh'
    """
    if figure is None:
        return lambda function: metric(function, better=better, unit=unit, name=name, title=title, decimals=decimals)
    called = name or str(getattr(figure, "__name__", type(figure).__name__))
    words = called.replace("_", " ")
    return Metric(called, title or (words.capitalize() if words.islower() else words), figure, unit, better, None, decimals)
