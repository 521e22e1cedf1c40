"""Distributions of weights and norms of filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prunekit.errors import PruningError


@dataclass(frozen=True)
class Histogram:
    """Counts over bins, with the moments of the values.

    Attributes
    ----------
    edges : ndarray, shape [bins + 1]
        Edges of the bins.
    counts : ndarray of int, shape [bins]
        Values in each bin; the last bin includes its right edge.
    mean, std : float
        Of all values, also those outside the range.
    n : int
        Number of values.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    mean: float
    std: float
    n: int


def histogram(values: Tensor | NDArray[np.floating], bins: int = 128, range: tuple[float, float] | None = None) -> Histogram:
    """Return the histogram of all values of a tensor.

    Parameters
    ----------
    values : Tensor or ndarray
        Any shape; flattened.
    bins : int
        Number of bins of equal width.
    range : tuple of float, optional
        Lower and upper edge: pass the same to every histogram that is to be compared. Default: from least to greatest.

    Returns
    -------
    Histogram
        As ``numpy.histogram`` counts.
    """
    flat = (values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)).reshape(-1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise PruningError("the values hold NaN or infinity: there is no histogram of them")
    counts, edges = np.histogram(flat, bins=bins, range=range)
    mean, std = (float(flat.mean()), float(flat.std())) if flat.size else (0.0, 0.0)
    return Histogram(edges, counts.astype(np.int64), mean, std, int(flat.size))


def filter_norms(weight: Tensor, p: int = 1) -> NDArray[np.float64]:
    """Return the norm of each filter (row) of a layer's weight.

    Parameters
    ----------
    weight : Tensor, shape [out, ...]
        Weight of a convolution or linear layer.
    p : {1, 2}
        Sum of absolute values, or Euclidean norm.

    Returns
    -------
    ndarray, shape [out]
        One norm for each output channel.
    """
    rows = weight.detach().cpu().reshape(weight.shape[0], -1).double().numpy()
    return np.asarray(np.linalg.norm(rows, ord=p, axis=1))
