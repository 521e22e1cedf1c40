"""Single weights against whole channels at an equal budget, everything measured on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError, one_of
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import file_bytes, sizes, sparse_bytes
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate, CandidateLatency
from prunekit.lessons.advice import Advice, when_to_use
from prunekit.lessons.settings import KINDS, one_thread, percent, timing
from prunekit.models.cost import count
from prunekit.pruning.api import sample_shape
from prunekit.pruning.execution import carry_out, mask, planned_counts
from prunekit.pruning.proof import proved
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
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
            raise PrunekitError(
                f"no layer may be emptied: channels cannot come down to {percent(share)} of the {budget}. Allow a larger share"
            )
        cost = {"params": small.after.params, "macs": small.after.macs, "bytes": file_bytes(small.model)}[budget]
        return Fit(self._masked(budget, cost), small)

    def ladder(self, share: float) -> list[Fit]:
        """Return pairs with ever less work, for a budget in time."""
        found = (self._shrunk("macs", part * share) for part in LADDER)
        fits = [Fit(self._masked("params", small.after.params), small) for small in found if small is not None]
        if not fits:
            raise PrunekitError(f"no layer may be emptied: channels cannot come down to {percent(share)} of the work. Allow a larger share")
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


__all__ = ["BUDGETS", "Advice", "at_equal_budgets", "when_to_use"]

BUDGETS = ("params", "macs", "bytes", "ms")
BATCH = 64  # images at a time, of the column "ms"
SECONDS = 1.5

Times = dict[tuple[str, int], CandidateLatency]


@one_thread()
def at_equal_budgets(
    model: nn.Module,
    data: Any,
    budget: str = "params",
    share: float = 0.2,
    *,
    seconds: float = SECONDS,
    progress: Progress = QUIET,
) -> pd.DataFrame:
    """Prune a model twice to the same budget, by single weights and by channels, and measure both and the original.

    The channels come first, because they go in larger steps: the least sparsity that meets the budget. Then as few weights go as come down
    to the same cost. Time is the exception: masked weights do not save any, so that for a budget in time both copies hold as many weights
    that are not zero, and ``within`` says who keeps to it. Global scope, L1 magnitude, nothing repaired afterwards.

    Parameters
    ----------
    model : nn.Module
        The dense model, as `load_model` returns it; not modified.
    data : Data
        Accuracy is measured on its test part.
    budget : {"params", "macs", "bytes", "ms"}
        Parameters that are not zero, multiply-accumulates by weights that are not zero, stored bytes (masked weights in the smallest sparse
        format, channels after surgery), or the time of 64 images.
    share : float
        Of the original's, 0 < share < 1.
    seconds : float
        Of turns for each batch, when timing.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops, and the process that times is killed.

    Returns
    -------
    DataFrame
        A row for each of ``dense``, ``unstructured`` and ``structured``: ``kind``, ``sparsity`` (asked of weights or channels),
        ``params``, ``macs``, ``bytes``, ``ms`` (64 images), ``ms_one`` (one image), ``ratio`` and ``ratio_one`` (of the original's
        time), ``faster`` and ``faster_one`` (beyond doubt), ``within`` (the budget), ``accuracy`` with its interval ``low`` to ``high``,
        ``images``, and ``p_value`` (McNemar, paired) of the two pruned copies' accuracies, NaN in the row of the original.

    Raises
    ------
    PrunekitError
        If the budget or the share is not valid, or channels cannot come down that far.
    """
    one_of("budget", budget, BUDGETS, PrunekitError)
    if isinstance(share, bool) or not 0 < share < 1:
        raise PrunekitError(f"share must be above 0 and below 1, the part of the original that may stay; got {share!r}")
    progress(0.0, "pruning to the budget")
    pair = Pair(model, data)
    fits = pair.ladder(share) if budget == "ms" else [pair.at(budget, share)]
    times = _times(model, fits, pair.shape, budget_s=seconds, progress=timing(progress.part(0.1, 0.95)))
    place = _first_within(times, len(fits), share) if budget == "ms" else 0
    copies = fits[place].by_kind
    rows = [_original(pair, times), *(_pruned(kind, copies[kind], times, _name(kind, place)) for kind in copies)]
    frame = pd.DataFrame(rows)
    frame["within"] = (frame.ratio if budget == "ms" else frame[budget] / frame[budget][0]) <= share
    return _with_accuracy(frame, [evaluate(net, data.test) for net in (model, *(result.model for result in copies.values()))])


def _name(kind: str, place: int) -> str:
    """Return what a copy is called while it is timed; of several, the later ones have a number."""
    return KINDS[kind] + (f", try {place + 1}" if place else "")


def _times(model: nn.Module, fits: list[Fit], shape: tuple[int, ...], **turns: Any) -> Times:
    """Return the times of the original and of all copies, in turns, for one image and for many, by name and batch."""
    copies = [Candidate(_name(kind, i), result.model) for i, fit in enumerate(fits) for kind, result in fit.by_kind.items()]
    report = measure_latency([Candidate(KINDS["dense"], model), *copies], input_shape=shape, batch=(1, BATCH), **turns)
    return {(row.name, row.batch): row for row in report.candidates}


def _first_within(times: Times, fits: int, share: float) -> int:
    """Return the first smaller copy, by falling work, whose time is within the budget; the last where none is."""
    ratios = [times[_name("structured", i), BATCH].ratio for i in range(fits)]
    return next((i for i, ratio in enumerate(ratios) if ratio is not None and ratio.value <= share), fits - 1)


def _timed(times: Times, name: str) -> dict[str, Any]:
    """Return the columns of time; what could not be timed has none."""
    many, one = times[name, BATCH], times[name, 1]
    found = {"ms": many.median_ms, "ms_one": one.median_ms}
    for ending, row in (("", many), ("_one", one)):
        found |= {f"ratio{ending}": None if row.ratio is None else row.ratio.value}
        found |= {f"faster{ending}": row.ratio is not None and row.ratio.different and row.ratio.value < 1}
    return found


def _original(pair: Pair, times: Times) -> dict[str, Any]:
    """Return the row of the dense model."""
    costs = {budget: pair.dense(budget) for budget in ("params", "macs", "bytes")}
    return {"kind": "dense", "sparsity": 0.0, **costs, **_timed(times, KINDS["dense"])}


def _pruned(kind: str, result: PruneResult, times: Times, name: str) -> dict[str, Any]:
    """Return the row of a pruned copy, without its accuracy."""
    stored = sizes(result.model, gzip=False)
    costs = {"params": result.after.nonzero, "macs": result.after.effective_macs}
    costs |= {"bytes": stored.sparse if kind == "unstructured" else stored.surgery}
    return {"kind": kind, "sparsity": result.spec.sparsity, **costs, **_timed(times, name)}


def _with_accuracy(frame: pd.DataFrame, right: list[Evaluation]) -> pd.DataFrame:
    """Return the frame with accuracies, their intervals, and how likely chance makes such a difference between the two copies."""
    for name, column in (("value", "accuracy"), ("low", "low"), ("high", "high"), ("n", "images")):
        frame[column] = [getattr(accuracy, name) for accuracy in right]
    p_value = compare(right[1], right[2]).p_value
    return frame.assign(p_value=[math.nan, p_value, p_value])
