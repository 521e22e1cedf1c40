"""Bringing a model down to a budget, once by single weights and once by channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.sizes import file_bytes, sparse_bytes
from prunekit.models.cost import count
from prunekit.pruning.api import carry_out, mask, planned_counts, sample_shape
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.stubborn import proved
from prunekit.pruning.unstructured.masks import Ranking

STEPS = 1000  # sparsities that are tried, in steps of a thousandth
LADDER = (1.0, 0.6, 0.3)  # shares of the time budget that the work of a candidate may be: time does not follow work exactly


@dataclass(frozen=True)
class Fit:
    """Both copies at one budget."""

    unstructured: PruneResult
    structured: PruneResult

    @property
    def by_kind(self) -> dict[str, PruneResult]:
        """Both by the name of their kind."""
        return {"unstructured": self.unstructured, "structured": self.structured}


@dataclass(frozen=True, eq=False)
class Pair:
    """A model, scored once for each kind."""

    model: nn.Module
    data: Any

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return sample_shape(self.model, self.data)

    @cached_property
    def weights(self) -> Ranking:
        """Single weights."""
        return Ranking.of(self.model, PruneSpec(), self.data)

    @cached_property
    def channels(self) -> ChannelRanking:
        """Whole channels."""
        return ChannelRanking.of(self.model, PruneSpec(mode="structured"), trace(self.model, self.shape), self.data)

    def dense(self, budget: str) -> int:
        """Return what the original costs."""
        whole = count(self.model, self.shape)
        return {"params": whole.params, "macs": whole.macs, "bytes": file_bytes(self.model)}[budget]

    def masked_cost(self, budget: str, step: int) -> int:
        """Return what is left to pay for without a share of the weights."""
        masks = self.weights.masks(self.weights.cut(step / STEPS))
        if budget == "bytes":
            return sparse_bytes(self.model, masks)[0]
        left = count(self.model, self.shape, masks)
        return left.nonzero if budget == "params" else left.effective_macs

    def shrunk_cost(self, budget: str, step: int) -> int:
        """Return what is left to pay for without a share of the channels."""
        plan = self.channels.cut(step / STEPS)
        if budget == "bytes":
            return file_bytes(shrink(self.model, plan))
        params, macs = planned_counts(self.model, plan, count(self.model, self.shape))
        return params if budget == "params" else macs

    def at(self, budget: str, share: float) -> Fit:
        """Return both copies at a share of the original's cost."""
        small = self._shrunk(budget, share)
        if small is None:
            raise PrunekitError(f"no layer may be emptied: channels cannot come down to {share:.0%} of the {budget}. Allow a larger share")
        cost = {"params": small.after.params, "macs": small.after.macs, "bytes": file_bytes(small.model)}[budget]
        return Fit(self._masked(budget, cost), small)

    def ladder(self, share: float) -> list[Fit]:
        """Return pairs with ever less work, for a budget in time."""
        found = (self._shrunk("macs", part * share) for part in LADDER)
        fits = [Fit(self._masked("params", small.after.params), small) for small in found if small is not None]
        if not fits:
            raise PrunekitError(f"no layer may be emptied: channels cannot come down to {share:.0%} of the work. Allow a larger share")
        return fits

    def _shrunk(self, budget: str, share: float) -> PruneResult | None:
        """Return the copy with the fewest channels gone that comes down to a share; None where it is out of reach."""
        limit = share * self.dense(budget)
        step = least(lambda now: self.shrunk_cost(budget, now) <= limit)
        if step is None:
            return None
        spec = PruneSpec(mode="structured", sparsity=step / STEPS)

        def cut() -> Plan:
            if self.channels.graph is not trace(self.model, self.shape):  # something is held since
                del self.channels
            return self.channels.cut(step / STEPS)

        plan, proof = proved(self.model, cut, getattr(self.shape, "example", None))
        return carry_out(self.model, plan, spec, proof)

    def _masked(self, budget: str, cost: int) -> PruneResult:
        """Return the copy without single weights at a cost."""
        step = least(lambda now: self.masked_cost(budget, now) <= cost)
        if step is None:
            raise PrunekitError(f"single weights cannot come down to {cost:,} {budget}: allow a larger share")
        return mask(self.model, self.weights, PruneSpec(sparsity=step / STEPS), self.shape)


def least(meets: Callable[[int], bool]) -> int | None:
    """Return the least step from 0 to 999 that meets a condition which holds from some step on, by bisection; None where none does."""
    low, high = 0, STEPS - 1
    if not meets(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle + 1, high)
    return low
