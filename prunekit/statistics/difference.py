"""The result of a paired comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass

ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """How far apart two models are on the same samples.

    Attributes
    ----------
    value, low, high : float
        The figure of the second minus that of the first, and its 95 % interval, in the figure's own unit (a share is in -1..1).
    p_value : float
        Two-sided.
    significant : bool
        ``p_value < 0.05``; exactly then the interval leaves 0 out, so the two never contradict each other.
    n : int
        Number of samples.
    """

    value: float
    low: float
    high: float
    p_value: float
    significant: bool
    n: int

    def to_dict(self) -> dict[str, float | bool]:
        """Return plain values for JSON."""
        return asdict(self)
