"""How many weights each layer gives: shares by shape, within overrides and caps, to the exact total."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunekit.config import fields as check
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.pruning.layer_selection import joint_shares, share_out

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


@dataclass(frozen=True, eq=False)
class Budget:
    """The bounds of every chosen layer, and what a sparsity asks of it."""

    spec: PruneSpec  # an unstructured setting; its overrides, caps and scope count. Methods take the same setting at any sparsity
    shapes: dict[str, tuple[int, ...]]  # shape of each chosen layer's weight
    zeros: Counts  # how many weights of each layer are zero already: no fewer go
    joint: Counts = field(default_factory=dict)  # how many weights go from each layer that has its part of a joint share

    @cached_property
    def sizes(self) -> Counts:
        """Number of weights in each layer."""
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @cached_property
    def most(self) -> Counts:
        """How many weights may go from each layer: what its cap allows, or what is zero already."""
        allowed = {name: math.floor(self.spec.cap(name) * size + 1e-9) for name, size in self.sizes.items()}
        return {name: max(count, self.zeros[name]) for name, count in allowed.items()}

    @cached_property
    def _overridden(self) -> Counts:
        """How many weights overrides and joint shares ask for, or what is zero already."""
        asked = {name: round(share * self.sizes[name]) for name, share in self.spec.overrides} | self.joint
        return {name: max(count, self.zeros[name]) for name, count in asked.items()}

    @cached_property
    def fixed(self) -> Counts:
        """How many weights go from each layer with an override or a joint share (rounding it up must not break a cap)."""
        return {name: min(count, self.most[name]) for name, count in self._overridden.items()}

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Layers without an override or a joint share."""
        return tuple(name for name in self.shapes if name not in self.fixed)

    @cached_property
    def capped(self) -> frozenset[str]:
        """Layers that cannot lose all their weights."""
        return frozenset(name for name, size in self.sizes.items() if self.most[name] < size)

    def asked(self, spec: PruneSpec) -> int:
        """Return how many weights a sparsity asks for."""
        assert spec.sparsity is not None
        return round(spec.sparsity * sum(self.sizes.values()))

    def _wish(self, spec: PruneSpec) -> int:
        """Return how many weights the free layers would have to give, whether or not they can."""
        total = max(self.asked(spec), sum(self.zeros.values()))
        rest = share_out(total, self.sizes, self._overridden, "weights")
        return rest + sum(self._overridden.values()) - sum(self.fixed.values())

    def rest(self, spec: PruneSpec) -> int:
        """Return how many weights the free layers give: what is asked of them, or the nearest that their bounds allow."""
        fewest, most = (sum(bound[name] for name in self.free) for bound in (self.zeros, self.most))
        return min(max(self._wish(spec), fewest), most)

    def counts(self, spec: PruneSpec) -> Counts:
        """Return how many weights each free layer gives, in scope uniform, row or ERK."""
        rest = self.rest(spec)
        if spec.scope == "erk":
            return erk_counts(rest, {name: self.shapes[name] for name in self.free}, self.zeros, self.most)
        share, sizes = self._uniform_share(spec), {name: self.sizes[name] for name in self.free}
        counts = {name: round(share * size) for name, size in sizes.items()}
        unbound = all(self.zeros[name] <= count <= self.most[name] for name, count in counts.items())
        if unbound and not self.limits(spec):
            return counts
        return uniform_counts(rest, sizes, self.zeros, self.most)

    def _open_share(self, spec: PruneSpec) -> float:
        """Return the share of all free weights that is asked for."""
        return min(self._wish(spec) / max(sum(self.sizes[name] for name in self.free), 1), 1.0)

    def _uniform_share(self, spec: PruneSpec) -> float:
        """Return the share asked of each free layer in scope uniform."""
        assert spec.sparsity is not None
        return self._open_share(spec) if self.fixed else spec.sparsity

    def requested(self, spec: PruneSpec) -> dict[str, float | None]:
        """Return the sparsity asked of each layer, before zeros and caps; None where global scope or a threshold decides."""
        asked: dict[str, float | None] = dict.fromkeys(self.shapes)
        if spec.threshold is None:
            open_share = self._open_share(spec)  # says whether the total is possible, whatever the scope
            if spec.scope in ("uniform", "row"):
                asked = dict.fromkeys(self.shapes, self._uniform_share(spec))
            elif spec.scope == "erk":
                densities = erk_densities({name: self.shapes[name] for name in self.free}, 1 - open_share)
                asked |= {name: 1 - density for name, density in densities.items()}
        for each in joint_shares(spec, self.shapes):
            asked |= dict.fromkeys(each.within, None if spec.scope == "global" else each.share)
        return asked | dict(self.spec.overrides)

    def limits(self, spec: PruneSpec) -> tuple[str, ...]:
        """Say what keeps a sparsity from being reached, or makes it more than was asked for."""
        asked, total, zeros = self.asked(spec), sum(self.sizes.values()), sum(self.zeros.values())
        wish, rest = self._wish(spec), self.rest(spec)
        going = sum(self.fixed.values()) + rest
        if rest < wish:
            return (f"{asked:,} of {total:,} weights were asked for, {going:,} can go: {self._holders()}",)
        if rest > wish or zeros > asked:
            return (f"{asked:,} of {total:,} weights were asked for, {going:,} go: {zeros:,} are zero already and stay so",)
        return ()

    def _holders(self) -> str:
        """Name the layers that caps and overrides hold."""
        held = [name for name in self.shapes if (name in self.capped if name in self.free else self.fixed[name] < self._overridden[name])]
        overrides = {name: share for name, share in self.spec.overrides if name not in held}
        said = [f"the caps hold {held_at({name: self.spec.cap(name) for name in held})}"] if held else []
        return ", ".join([*said, f"the overrides hold {held_at(overrides)}"] if overrides else said)

    def saved(self, below: Counts) -> tuple[str, ...]:
        """Say where caps stop short of a threshold, given how many weights score below it in each layer."""
        short = [f"{name} loses {self.most[name]:,} of {n:,}" for name, n in below.items() if name in self.free and n > self.most[name]]
        return (f"the caps keep weights that score below the threshold: {', '.join(short)}",) if short else ()
