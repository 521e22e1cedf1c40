"""How far can it go: the highest sparsity that loses at most so much accuracy, by paired comparison, and its confirmation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.measure.accuracy import Accuracy
from prunekit.measure.adaptive import HIGH, STEP
from prunekit.measure.paired import Difference, compare

RESOLUTION = 0.005


@dataclass(frozen=True)
class Furthest:
    """The end of the stretch, from the dense model on, whose measured points all lose at most so much.

    Attributes
    ----------
    sparsity : float
        The highest measured sparsity of the stretch, 0..1.
    beyond : float or None
        The lowest measured sparsity behind it, which loses more; None where everything measured is within.
    allowed : float
        The loss that was allowed, a fraction.
    difference : Difference
        Of the accuracy at ``sparsity`` from the dense model's, on the same images.
    confident : bool
        Whether the whole 95 % interval of the difference lies within what is allowed: then not only these images say so.
    evaluations : int
        Points that were measured for it.
    again : bool
        Whether some measured point behind ``beyond`` is within again: the curve is not monotone there, and the stretch ends before.
    """

    sparsity: float
    beyond: float | None
    allowed: float
    difference: Difference
    confident: bool
    evaluations: int
    again: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self, name) for name in ("sparsity", "beyond", "allowed", "confident", "evaluations", "again")}
        return {**plain, "difference": self.difference.to_dict()}

    def sentence(self) -> str:
        """Say it in plain words."""
        sure = "with 95 % confidence" if self.confident else "on these images; their number leaves it open whether that holds for others"
        lost = f"{100 * self.sparsity:.1f} % removed: {self.difference.sentence()}, at most {100 * self.allowed:.3g} allowed, {sure}."
        end = "" if self.beyond is None else f" At {100 * self.beyond:.1f} % more is lost."
        return lost + end + (" Further on some points are within again: the curve is not monotone there." if self.again else "")


def loses(dense: Accuracy, pruned: Accuracy) -> float:
    """Return how much accuracy a model has lost against the dense one, a fraction; below 0 where it gained."""
    return dense.value - pruned.value


def furthest(
    measure: Callable[[float], Accuracy],
    dense: Accuracy,
    allowed: float,
    *,
    known: Mapping[float, Accuracy] | None = None,
    high: float = HIGH,
    resolution: float = RESOLUTION,
) -> Furthest:
    """Find the highest sparsity that loses at most so much accuracy.

    What is known brackets the end of the stretch; bisection narrows it down, each point paired with the dense model on the same images. A
    dip between two measured points that are both within goes unseen.

    Parameters
    ----------
    measure : callable
        From a sparsity to the accuracy there, on the images that ``dense`` was measured on.
    dense : Accuracy
        Of the dense model.
    allowed : float
        Loss of accuracy that is allowed, a fraction of at least 0 and below 1.
    known : mapping of float to Accuracy, optional
        Points that are measured already, on the same images.
    high : float
        Where to stop looking, below 1.
    resolution : float
        How narrow the bracket gets; no finer than the grid of 0.001.

    Returns
    -------
    Furthest

    Raises
    ------
    PrunekitError
        If a number is not valid.
    DataError
        If a point was measured on other images.
    """
    if not 0 <= allowed < 1:
        raise PrunekitError(f"the allowed loss is a fraction of at least 0 and below 1; got {allowed!r}. One point is 0.01")
    if not 0 < high < 1 or not 0 < resolution < 1:
        raise PrunekitError(f"high and resolution must lie between 0 and 1; got {high!r} and {resolution!r}")
    points = {0.0: dense, **{float(x): accuracy for x, accuracy in (known or {}).items() if 0 < x <= high}}
    asked = 0
    while (at := _next(points, dense, allowed, high, max(resolution, STEP))) is not None:
        points[at] = measure(at)
        asked += 1
    best, beyond = _bracket(points, dense, allowed)
    difference = compare(dense, points[best])
    again = beyond is not None and any(x > beyond and loses(dense, a) <= allowed for x, a in points.items())
    return Furthest(best, beyond, allowed, difference, -difference.low <= allowed, asked, again)


def _bracket(points: Mapping[float, Accuracy], dense: Accuracy, allowed: float) -> tuple[float, float | None]:
    """Return the end of the stretch that is within, and the first point behind it."""
    best = 0.0
    for x in sorted(points):
        if loses(dense, points[x]) > allowed + 1e-12:
            return best, x
        best = x
    return best, None


def _next(points: Mapping[float, Accuracy], dense: Accuracy, allowed: float, high: float, resolution: float) -> float | None:
    """Return where to measure next, or None where the bracket is narrow enough."""
    best, beyond = _bracket(points, dense, allowed)
    if beyond is None:
        return None if best >= high - STEP / 2 else high
    if beyond - best <= resolution + 1e-9:
        return None
    at = round(round((best + beyond) / 2 / STEP) * STEP, 6)
    return at if best < at < beyond else None


@dataclass(frozen=True)
class Confirmation:
    """The last word: what was chosen, on images that chose nothing.

    Attributes
    ----------
    difference : Difference
        From the dense model, on the same images.
    allowed : float
        The loss that was allowed.
    confirmed : bool
        Whether the loss is within what was allowed here too.
    confident : bool
        Whether the whole 95 % interval is.
    """

    difference: Difference
    allowed: float
    confirmed: bool
    confident: bool

    def sentence(self, where: str = "test images") -> str:
        """Say it in plain words."""
        n = f"{self.difference.n:,} {where}"
        if self.confident:
            return f"Confirmed on {n} with 95 % confidence: {self.difference.sentence()}."
        if self.confirmed:
            return f"Confirmed on {n}: {self.difference.sentence()}; the interval reaches beyond what is allowed, so others may lose more."
        more = f"more than the {100 * self.allowed:.3g} allowed. Go a little less far."
        return f"Not confirmed: on {n} it is {self.difference.sentence()}, {more}"


def confirm(dense: Accuracy, pruned: Accuracy, allowed: float) -> Confirmation:
    """Confirm a choice on other images.

    Parameters
    ----------
    dense, pruned : Accuracy
        On the same images, none of which helped to choose.
    allowed : float
        The loss that was allowed, a fraction.

    Raises
    ------
    DataError
        If they were not measured on the same images.
    """
    difference = compare(dense, pruned)
    return Confirmation(difference, allowed, loses(dense, pruned) <= allowed + 1e-12, -difference.low <= allowed)
