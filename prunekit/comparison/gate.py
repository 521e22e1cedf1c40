"""`Gate`: what a job of continuous integration asks of a run: a value that it must hold, and what it may lose against another."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from prunekit.comparison.columns import Column
from prunekit.comparison.comparison import Comparison
from prunekit.errors import PrunekitError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import ordinary
from prunekit.tasks.metrics import HIGHER, PERCENT
from prunekit.tasks.wording import loses, loss_text, lost_between

ROUNDING = 1e-9
"""A limit that is met to this is met: 0.97 less 0.96 is a little more than 0.01 in binary."""


@dataclass(frozen=True)
class Check:
    """One limit beside what was measured.

    Attributes
    ----------
    what : {"value", "lost"}
        The headline metric, or how much of it went.
    run, letter, against : str
        Id of the run that is judged, its letter, and the letter of what it is held against ("" for none).
    metric : str
        Name of the metric.
    limit : float
        In the metric's own unit (a share is in 0..1).
    value, low, high : float or None
        What was measured, and its 95 % interval.
    passed : bool
    sentence : str
        The same in words.
    """

    what: str
    run: str
    letter: str
    against: str
    metric: str
    limit: float
    value: float
    low: float | None
    high: float | None
    passed: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Gate:
    """What is asked of the run that is named last."""

    below: float | None = None  # its headline metric must hold this: be at least so, or at most where lower is better
    lost: float | None = None  # it may lose so much of it against the run that is named first, paired on the same samples
    sure: bool = False  # judge by the worse end of the 95 % interval instead of by the value

    def __post_init__(self) -> None:
        """Refuse limits that say nothing."""
        for name, limit in (("--fail-below", self.below), ("--fail-if-lost", self.lost)):
            if limit is not None and not math.isfinite(limit):
                raise PrunekitError(f"{name} must be a number; got {limit}")
        if self.lost is not None and self.lost < 0:
            raise PrunekitError(f"--fail-if-lost must be at least 0; got {self.lost:g}")
        if self.sure and not self.asked:
            raise PrunekitError("--sure says how --fail-below and --fail-if-lost are judged: give one of them, or leave it out")

    @property
    def asked(self) -> bool:
        """Whether there is anything to judge."""
        return self.below is not None or self.lost is not None

    def judge(self, found: Comparison, first: str, last: str) -> tuple[Check, ...]:
        """Hold a run's quality against the limits."""
        columns = {column.run.id: column for column in found.all}
        subject, reference = columns[last], columns[first]
        seen = _measured(subject)
        checks = [] if self.below is None else [self._held(subject, seen, _in_unit("--fail-below", self.below, seen))]
        if self.lost is not None:
            checks.append(self._lost(subject, reference, _in_unit("--fail-if-lost", self.lost, seen)))
        return tuple(checks)

    def _held(self, column: Column, seen: Evaluation, limit: float) -> Check:
        """Hold the value against the one that is asked for."""
        metric, higher = seen.metric, seen.metric.better == HIGHER
        low, high = _ends(seen.low, seen.high)
        judged = seen.value if not self.sure else _needed(low if higher else high, seen)
        passed = metric.loss(limit, judged) <= ROUNDING * max(1.0, abs(limit))
        asked = f"{'at least' if higher else 'at most'} {metric.format(limit)}"
        between = f" ({seen.interval() or 'no interval'}, n = {seen.n:,})"
        by = f", judged by the {'lower' if higher else 'upper'} end" if self.sure else ""
        sentence = f"{_word(passed)}: {metric.phrase} of {_called(column)} is {metric.format(seen.value)}{between}{by}; asked for: {asked}"
        told = (metric.name, limit, seen.value, low, high, passed, ordinary(sentence))
        return Check("value", column.run.id, column.letter, "", *told)

    def _lost(self, column: Column, reference: Column, limit: float) -> Check:
        """Hold what was lost against what may be."""
        seen = _measured(column)
        metric, lost = seen.metric, seen.metric.lost(compare(_measured(reference), seen))
        low, high = _ends(lost.low, lost.high)
        judged = lost.value if not self.sure else _needed(high, seen)
        passed = judged - limit <= ROUNDING * max(1.0, abs(limit))
        span = "no interval" if low is None or high is None else f"95 % interval {lost_between(metric, low, high)}"
        by = ", judged by the upper end" if self.sure else ""
        against = f"against {_called(reference)} ({span}){by}; allowed: {loss_text(metric, limit)}"
        sentence = f"{_word(passed)}: {_called(column)} {loses(metric, lost.value, past=True)} {against}"
        told = (metric.name, limit, lost.value, low, high, passed, ordinary(sentence))
        return Check("lost", column.run.id, column.letter, reference.letter, *told)


def _measured(column: Column) -> Evaluation:
    """Return what was measured of a column."""
    if column.accuracy is None:
        raise PrunekitError(
            f"the quality of {_called(column)} was not measured on the samples of this comparison, so that nothing can be judged: "
            + (column.gone or "leave --stored out, or name the data with --data")
        )
    return column.accuracy


def _in_unit(flag: str, limit: float, seen: Evaluation) -> float:
    """Return a limit, which of a share is a fraction."""
    if seen.metric.unit == PERCENT and abs(limit) > 1:
        raise PrunekitError(f"{flag} takes a fraction of {seen.metric.phrase}: {limit / 100:g} for {limit:g} %")
    return limit


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    """Return an interval, None where none can be said."""
    return (None, None) if math.isnan(low) or math.isnan(high) else (low, high)


def _needed(end: float | None, seen: Evaluation) -> float:
    """Return the end of an interval that is judged by."""
    if end is None:
        raise PrunekitError(f"--sure needs an interval, and {seen.metric.phrase} has none on these {seen.n:,} samples: leave --sure out")
    return end


def _word(passed: bool) -> str:
    """Return how a check ended."""
    return "passed" if passed else "failed"


def _called(column: Column) -> str:
    """Return a column's letter with the name that somebody gave it."""
    return f"{column.letter} ({column.name})" if column.name else column.letter
