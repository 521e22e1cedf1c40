"""Where to measure next, so that few points draw the whole of accuracy against sparsity.

Between two measured points an accuracy that does not rise lies in the rectangle that they span: its area bounds what drawing a curve
through them can get wrong. Each new point halves the largest rectangle. A flat stretch still counts for the noise of its ends, so that a
dent in it does not go unseen for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.statistics.proportions import Z95
from prunekit.tasks.metrics import Proportion

LOW, HIGH = 0.0, 0.99
STEP = 0.001  # points lie on this grid, so that sweeps of one setting share them
EVALUATIONS = 12
NOISE = 2.0  # standard errors by which a point may be off

Floats = NDArray[np.float64]


def _checked(xs: ArrayLike, ys: ArrayLike) -> tuple[Floats, Floats]:
    """Return points in ascending order of x."""
    x, y = np.asarray(xs, float).reshape(-1), np.asarray(ys, float).reshape(-1)
    if x.size != y.size or not np.isfinite(x).all() or not np.isfinite(y).all():
        raise PrunekitError(f"need finite numbers, as many accuracies as sparsities; got {x.size} and {y.size}")
    if np.unique(x).size != x.size:
        raise PrunekitError("two points have the same sparsity: give each sparsity once")
    order = np.argsort(x)
    return x[order], y[order]


def next_point(xs: ArrayLike, ys: ArrayLike, noise: float = 0.0, low: float = LOW, high: float = HIGH) -> float | None:
    """Return the sparsity at which one more measurement tells most.

    The two ends come first, then the middle of the interval with the largest ``(change of accuracy + 2 noise) x width``; of equal ones the
    first. The same values always give the same point, so that an interrupted sweep goes on where it was.

    ``xs``, ``ys`` [n]: what is measured: sparsities, all different, in any order, and accuracies, fractions in 0..1; ``noise``: standard
    error of one accuracy, a fraction. The answer is on a grid of 0.001; None where no two points are further apart than that.
    """
    if not 0 <= low < high < 1:
        raise PrunekitError(f"the range must be 0 <= low < high < 1; got {low!r} and {high!r}")
    if not 0 <= noise < np.inf:
        raise PrunekitError(f"noise is a standard error, at least 0; got {noise!r}")
    x, y = _checked(xs, ys)
    inside = (x >= low - 1e-9) & (x <= high + 1e-9)
    x, y = x[inside], y[inside]
    for end in (low, high):
        if not (np.abs(x - end) < STEP / 2).any():
            return end
    width = np.diff(x)
    # the last term spreads points evenly where nothing changes and nothing is noisy
    area = np.where(width > 1.5 * STEP, (np.abs(np.diff(y)) + NOISE * noise + 1e-9) * width, -1.0)
    widest = int(np.argmax(area))
    return None if area[widest] < 0 else round(round((x[widest] + x[widest + 1]) / 2 / STEP) * STEP, 6)


def next_points(  # noqa: PLR0917 (as for one, and how many)
    xs: ArrayLike, ys: ArrayLike, count: int, noise: float = 0.0, low: float = LOW, high: float = HIGH
) -> list[float]:
    """Return up to ``count`` sparsities to measure at once: each as `next_point` chooses it where those before it lie on the straight line.

    No more than half as many as are known, so that guesses do not outweigh what was measured: up to 12 points so chosen draw a cliff about
    as well as one after the other. Fewer, where no two points are far enough apart; at least one point must be known.
    """
    x, y = _checked(xs, ys)
    found: list[float] = []
    while len(found) < min(count, max(1, x.size // 2)):
        at = next_point([*x, *found], [*y, *np.interp(found, x, y)], noise, low, high)
        if at is None:
            break
        found.append(at)
    return found


def standard_error(accuracies: Sequence[Evaluation]) -> float:
    """Return the standard error of the noisiest of some figures; of proportions with one more right and one more wrong."""
    if any(not isinstance(a.metric, Proportion) for a in accuracies):
        return max((width / (2 * Z95) for a in accuracies if np.isfinite(width := a.high - a.low)), default=0.0)
    shares = ((a.value * a.n + 1) / (a.n + 2) for a in accuracies)
    return max((float(np.sqrt(p * (1 - p) / (a.n + 2))) for p, a in zip(shares, accuracies, strict=True)), default=0.0)
