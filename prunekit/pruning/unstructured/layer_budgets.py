"""How many weights each layer has to give: overrides, caps and what is zero already, in numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from prunekit.config.spec import PruneSpec
from prunekit.pruning.joint_shares import joint_shares
from prunekit.pruning.layer_selection import share_out
from prunekit.pruning.unstructured.allocation import Counts, erk_counts, erk_densities, held_at, uniform_counts


@dataclass(frozen=True, eq=False)
class Budget:
    """The bounds of every chosen layer, and what a sparsity asks of it.

    Attributes
    ----------
    spec : PruneSpec
        An unstructured setting; its overrides, caps and scope count. Methods take the same setting at any sparsity.
    shapes : dict of str to tuple
        Shape of each chosen layer's weight.
    zeros : dict of str to int
        How many weights of each layer are zero already: no fewer go.
    joint : dict of str to int
        How many weights go from each layer that has its part of a joint share.
    """

    spec: PruneSpec
    shapes: dict[str, tuple[int, ...]]
    zeros: Counts
    joint: Counts = field(default_factory=dict)

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
