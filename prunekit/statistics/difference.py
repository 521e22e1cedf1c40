"""The result of a paired comparison, and which of several are significant together (Holm)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
"""Level of significance."""


@dataclass(frozen=True)
class Difference:
    """How far apart two models are on the same samples.

    Attributes
    ----------
    value, low, high : float
        The figure of the second minus that of the first, and its 95 % interval, in the figure's own unit (a share is in -1..1); the
        interval of another level, where one was asked for.
    p_value : float
        Two-sided.
    significant : bool
        ``p_value < 0.05``, or below the level that was asked for; exactly then the interval leaves 0 out, so the two never contradict
        each other.
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


def holm(p_values: ArrayLike) -> NDArray[np.bool_]:
    """Return which of several tests are significant together, at 5 % in all.

    Parameters
    ----------
    p_values : array of float, shape [m]

    Returns
    -------
    ndarray of bool, shape [m]

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [True, False, False]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    passed = values[order] < ALPHA / (len(values) - np.arange(len(values)))
    found = np.zeros(len(values), dtype=bool)
    found[order] = np.logical_and.accumulate(passed)
    return found
