"""How much each layer gives: shares by shape, within bounds, to the exact total."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prunekit.config import validation as check
from prunekit.errors import SpecError

Counts = dict[str, int]
Reals = NDArray[np.float64]
NAMED = 6  # so many layers are named in a sentence, the others are counted


def erk_densities(shapes: Mapping[str, Sequence[int]], density: float) -> dict[str, float]:
    """Share out a density by the layers' shapes: Erdos-Renyi kernel.

    The density of a layer is proportional to the sum of its weight's dimensions over their product, and at most 1: wide layers are
    thinned most, small ones least.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Layer name to the shape of its weight: ``[out, in]``, or ``[out, in / groups, *kernel]`` for a convolution.
    density : float
        Share of all weights that stays, from 0 to 1.

    Returns
    -------
    dict of str to float
        Layer name to the share of its weights that stays. Weighted by the number of weights their mean is ``density``.

    Raises
    ------
    SpecError
        If the density is not from 0 to 1, or a shape is not one of a convolution or a linear layer.

    References
    ----------
    Mocanu et al. 2018, Scalable training of artificial neural networks with adaptive sparse connectivity; arXiv:1707.04780
    (Erdos-Renyi). Evci et al. 2020, Rigging the Lottery: Making All Tickets Winners; arXiv:1911.11134 (with the kernel).

    Examples
    --------
    >>> erk_densities({"narrow": (10, 10), "wide": (100, 100)}, 0.11)
    {'narrow': 1.0, 'wide': 0.1011}
    """
    if not 0 <= check.number("density", density) <= 1:
        raise SpecError(f"density must be from 0 to 1 (the share that stays); got {density!r}")
    for name, shape in shapes.items():
        if len(shape) < 2 or min(shape) < 1:
            raise SpecError(f"the shape of layer {name} must be [out, in, *kernel], every side at least 1; got {tuple(shape)}")
    sizes = np.array([math.prod(shape) for shape in shapes.values()], dtype=np.float64)
    kept = _fill(density * sizes.sum(), np.array([sum(shape) for shape in shapes.values()], dtype=np.float64), np.zeros_like(sizes), sizes)
    return dict(zip(shapes, (kept / sizes).tolist(), strict=True))


def erk_counts(total: int, shapes: Mapping[str, Sequence[int]], low: Counts, high: Counts) -> Counts:
    """Return how many weights go from each layer, by Erdos-Renyi kernel, so that ``total`` go in all."""
    return _shared(total, {name: sum(shape) for name, shape in shapes.items()}, {n: math.prod(s) for n, s in shapes.items()}, low, high)


def uniform_counts(total: int, sizes: Counts, low: Counts, high: Counts) -> Counts:
    """Return how many weights go from each layer: the same share of each, but within bounds, so that ``total`` go in all."""
    return _shared(total, sizes, sizes, low, high)


def _shared(total: int, rates: Counts, sizes: Counts, low: Counts, high: Counts) -> Counts:
    """Let each layer keep weights in proportion to its rate, within bounds; whole numbers by largest remainder, ties by layer order."""
    size, floor, ceiling = (np.array([counts[name] for name in rates], dtype=np.float64) for counts in (sizes, low, high))
    kept = _fill(size.sum() - total, np.array(list(rates.values()), dtype=np.float64), size - ceiling, size - floor)
    exact = size - kept
    counts = np.floor(exact)
    remainders = np.round(exact - counts, 6)  # what should be equal shall be so in spite of rounding errors
    counts[np.argsort(-remainders, kind="stable")[: round(total - counts.sum())]] += 1
    return dict(zip(rates, counts.astype(int).tolist(), strict=True))


def _fill(total: float, rates: Reals, low: Reals, high: Reals) -> Reals:
    """Return ``clip(level * rates, low, high)`` at the level where it sums to ``total``: water in connected vessels.

    The sum rises in straight lines between the levels at which some layer leaves its lower or reaches its upper bound.
    """
    rates = np.maximum(rates, 1)  # a layer without weights has both bounds at 0
    knees = np.unique(np.concatenate([[0.0], low / rates, high / rates]))
    reached = np.array([np.clip(knee * rates, low, high).sum() for knee in knees])
    filled: Reals = np.clip(np.interp(total, reached, knees) * rates, low, high)
    return filled


def named(layers: Iterable[str]) -> str:
    """Return layer names for a sentence; of many, the first ones and a count."""
    names = list(layers)
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def held_at(shares: Mapping[str, float]) -> str:
    """Return layers with the share that they are held at, layers of the same share together: ``a and b at 50 %, c at 20 %``."""
    groups: dict[float, list[str]] = {}
    for name, share in shares.items():
        groups.setdefault(share, []).append(name)
    return ", ".join(f"{named(names)} at {100 * share:.4g} %" for share, names in groups.items())
