"""How far can I go? The highest sparsity whose accuracy drop is still allowed, found on one set of images and confirmed on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from prunekit.errors import PrunekitError
from prunekit.evaluation.adaptive_points import HIGH
from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import ordinary, percent
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric, Proportion
from prunekit.tasks.wording import loss_number, loss_text, lost_between, lost_or_gained

RESOLUTION = 0.005
SCOUTS = (0.5, 0.75, 0.9)  # where to look first where nothing is measured: accuracy may recover beyond a dent


@dataclass(frozen=True)
class Furthest:
    """The highest sparsity whose drop is allowed."""

    # of the last point of the unbroken stretch from 0 on which no measured drop is more than allowed; 0 where there is none
    sparsity: float
    drop: Difference  # of the accuracy there against the dense model, paired on the same images; negative where accuracy is lost
    confident: bool  # whether the whole 95 % interval of the drop is within what is allowed
    evaluations: int  # points that were measured for it, those known before left out
    points: dict[float, Evaluation]  # all points, by ascending sparsity, those known before included
    sentence: str  # all of it in plain words


@dataclass(frozen=True)
class Confirmation:
    """Whether a drop that was found on some images holds on others."""

    drop: Difference  # on the other images
    holds: bool  # whether the measured drop is at most what is allowed
    confident: bool  # whether the whole 95 % interval is
    sentence: str  # all of it in plain words


def _check(allowed: float, metric: Metric) -> None:
    """Raise unless an allowed drop is one of the metric."""
    if not 0 <= allowed < np.inf or (metric.unit == PERCENT and allowed >= 1):
        form = "a fraction, 0 <= drop < 1 (0.01 is one point)" if metric.unit == PERCENT else f"at least 0, in {metric.unit or 'its unit'}"
        raise PrunekitError(f"the allowed drop is {form}; got {allowed!r}")


def is_within(difference: Difference, allowed: float) -> bool:
    """Return whether a drop is allowed; of a proportion counted in samples, so that rounding decides nothing."""
    drop = difference.metric.lost(difference).value
    if isinstance(difference.metric, Proportion):
        return round(drop * difference.n) <= allowed * difference.n + 1e-9
    return drop <= allowed + 1e-12


def _confident(difference: Difference, allowed: float) -> bool:
    """Return whether the larger end of the drop's interval is allowed."""
    return bool(difference.metric.lost(difference).high <= allowed + 1e-12)


def furthest(
    measure: Callable[[float], Evaluation],
    dense: Evaluation,
    allowed: float,
    *,
    known: Mapping[float, Evaluation] | None = None,
    high: float = HIGH,
    resolution: float = RESOLUTION,
) -> Furthest:
    """Find the highest sparsity whose accuracy drop is at most what is allowed.

    Where accuracy does not fall steadily, it is the end of the unbroken stretch from 0: a sparsity beyond a measured drop that is too
    large is never the answer, even if accuracy recovers there. Between two points that are further apart than the resolution, and both
    within what is allowed, nobody has looked; three scouts make sure that such gaps are not wide.

    ``allowed``: largest drop, a fraction: 0.01 is one point.
    """
    _check(allowed, dense.metric)
    if not 0 < high < 1 or not 0 < resolution < 1:
        raise PrunekitError(f"high and resolution must be fractions, 0 < share < 1; got {high!r} and {resolution!r}")
    points = {float(s): a for s, a in (known or {}).items() if 0 < s <= high}
    search = _Search(measure, dense, allowed, points)
    for scout in (*(s for s in SCOUTS if s < high), high):
        if scout > search.end()[0] and search.end()[1] is None and not any(s >= scout for s in search.points):
            search.look(scout)
    low, broken = search.end()
    while broken is not None and broken - low > resolution + 1e-9:
        search.look(round((low + broken) / 2, 6))
        low, broken = search.end()
    return search.answer(low, broken, high)


class _Search:
    """What is measured so far."""

    def __init__(self, measure: Callable[[float], Evaluation], dense: Evaluation, allowed: float, points: dict[float, Evaluation]) -> None:
        self.measure, self.dense, self.allowed, self.points, self.evaluations = measure, dense, allowed, points, 0

    def look(self, sparsity: float) -> None:
        """Measure one point."""
        self.points[sparsity] = self.measure(sparsity)
        self.evaluations += 1

    def end(self) -> tuple[float, float | None]:
        """Return the last sparsity of the unbroken stretch, and the first one that drops too far."""
        last = 0.0
        for sparsity in sorted(self.points):
            if not is_within(compare(self.dense, self.points[sparsity]), self.allowed):
                return last, sparsity
            last = sparsity
        return last, None

    def answer(self, low: float, broken: float | None, high: float) -> Furthest:
        """Put it together."""
        drop = compare(self.dense, self.points.get(low, self.dense))
        confident = _confident(drop, self.allowed)
        recovers = broken is not None and any(
            s > broken and is_within(compare(self.dense, a), self.allowed) for s, a in self.points.items()
        )
        sentence = _sentence(low, drop, self.allowed, confident, broken is None) + (
            f" Further on, beyond {ordinary(percent(broken or 0))}, some sparsity is within it again: that does not count."
            if recovers
            else ""
        )
        return Furthest(low, drop, confident, self.evaluations, dict(sorted(self.points.items())), sentence)


def _sentence(sparsity: float, drop: Difference, allowed: float, confident: bool, all_the_way: bool) -> str:
    """Say how far it goes."""
    if sparsity == 0:
        return f"No sparsity that was looked at keeps the {_change(drop)} within {_allowed(allowed, drop)} on {drop.n:,} {drop.units}."
    away, reach = drop.metric.lost(drop), ", the highest that was looked at," if all_the_way else ""
    worst = (loss_number if drop.metric.unit == PERCENT else loss_text)(drop.metric, max(away.high, 0.0))
    sure = (
        "so that it holds with 95 % confidence"
        if confident
        else f"so that chance may be behind it: more {drop.units}, or a lower sparsity, would make it sure"
    )
    return (
        f"Up to {ordinary(percent(sparsity))}{reach} the {_change(drop)} is within {_allowed(allowed, drop)}: "
        f"{lost_or_gained(drop.metric, away.value)} on {drop.n:,} {drop.units}, at worst {worst}, {sure}."
    )


def _allowed(allowed: float, drop: Difference) -> str:
    """Return what is allowed."""
    if drop.metric.unit != PERCENT:
        return drop.metric.format(allowed)
    shown = f"{100 * allowed:.3g}"
    return f"{shown} point{'' if shown == '1' else 's'}"


def _change(drop: Difference) -> str:
    """Return what getting worse is called."""
    return "drop" if drop.metric.better == HIGHER else "rise"


def confirm(dense: Evaluation, pruned: Evaluation, allowed: float, advice: str = "Take a lower sparsity") -> Confirmation:
    """Say whether an allowed drop (a fraction) holds on images that had no part in finding the sparsity."""
    _check(allowed, dense.metric)
    drop = compare(dense, pruned)
    holds, confident = is_within(drop, allowed), _confident(drop, allowed)
    away, within = drop.metric.lost(drop), _allowed(allowed, drop)
    told, interval = lost_or_gained(drop.metric, away.value), lost_between(drop.metric, away.low, away.high)
    measured = f"on {drop.n:,} test {drop.units}, {told}, 95 % interval {interval}"
    if confident:
        return Confirmation(drop, True, True, f"Confirmed: {measured}, all of it within {within}.")
    if holds:
        return Confirmation(drop, True, False, f"Likely, but not sure: {measured}; the interval reaches beyond {within}.")
    beyond = f"clearly more than {within}" if away.low > allowed else f"more than {within}, though not clearly"
    return Confirmation(drop, False, False, f"Not confirmed: {measured}; that is {beyond}. {advice}.")
