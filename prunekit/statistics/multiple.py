"""Several tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.statistics.difference import ALPHA


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
