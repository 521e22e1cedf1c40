"""One step of a gradual schedule: a cut by the weights as they are now, in the indices of the dense model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import ProofError, RecoveryError, named
from prunekit.formatting import asked, ordinary, percent
from prunekit.models.cost import count
from prunekit.models.layers import channel_layers
from prunekit.models.shared_rows import TableCut
from prunekit.models.state import tensor_state
from prunekit.pruning.api import prune
from prunekit.pruning.execution import carry_out, mask, update
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.proof import proved
from prunekit.pruning.result import PruneResult
from prunekit.pruning.schedule import SCHEDULES
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.channel_schedule import roles_open
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan, Removal
from prunekit.pruning.structured.ranking import UNITS, ChannelRanking, beyond
from prunekit.pruning.structured.removal_order import groups_of
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.structured.target_search import TOLERANCE
from prunekit.pruning.unstructured.masks import Ranking

MOST = 1 - 1e-9  # a sparsity is below 1; of what asks for more, the engine says what cannot go
NOTHING_NEARER = "whole channels allow nothing nearer, and every layer keeps at least one"
NOTHING_LEFT = "the chosen layers hold no more that can go, and every layer keeps at least one channel"
Kept = dict[str, tuple[int, ...]]


class Shrinking:
    """The cuts of one structured schedule."""

    def __init__(self, model: nn.Module, spec: PruneSpec, data: Any, shape: tuple[int, ...]) -> None:
        self.dense, self.spec, self.data, self.shape = model, spec, data, shape
        self._samples = getattr(shape, "example", None)
        self._rank()
        self.last: Plan | None = None
        self.blocks: tuple[str, ...] = ()  # those that have gone: all at the first cut, as rows of tables do
        self.rows: dict[str, TableCut] = {}
        self.spent = False  # whether the last cut asked for more and found nothing

    def _rank(self) -> None:
        """Score the channels of the dense model."""
        self.whole = ChannelRanking.of(self.dense, self.spec, trace(self.dense, self.shape), self.data)
        self.kept: Kept = {name: tuple(range(classes.size)) for name, classes in self.whole.graph.outputs.items()}

    def cut(self, now: nn.Module, setting: PruneSpec) -> PruneResult:
        """Cut the model as it is now, so that as much has gone from the dense one as a setting asks for."""
        missing = self._wanted(setting) - self._all_gone(setting).removed
        small = now
        more = missing > 0 or self.blocks != self.whole.blocks or self.rows != self.whole.rows
        step = self._proved(now, setting, missing) if more else None
        self.spent = more and step is None
        if step is not None:
            self.last = step
        if step is not None and not step.empty:
            self.kept = {name: tuple(kept[i] for i in step.kept.get(name, ())) for name, kept in self.kept.items()}
            self.blocks, self.rows = self.whole.blocks, self.whole.rows
            small = shrink(now, step)
        plan = self._all_gone(setting)
        result = carry_out(self.dense, replace(plan, limits=(*plan.limits, *self._short(plan))), setting)
        _check_same(result.model, small)
        return replace(result, model=small)

    def _proved(self, now: nn.Module, setting: PruneSpec, missing: int) -> Plan | None:
        """Choose what to remove from the model as it is now, without groups that stand in the way of its proof."""
        step = self._next(now, setting, missing)
        if step is None:
            return None
        if self.last is not None:
            return proved(now, lambda: self._next(now, setting, missing) or step, self._samples)[0]

        def first() -> Plan:
            if self.whole.graph is not trace(self.dense, self.shape):  # something is held since
                self._rank()
            return self._next(now, setting, missing) or step

        return proved(self.dense, first, self._samples)[0]

    def _wanted(self, setting: PruneSpec) -> int:
        """Return how much of the dense model is to go in all."""
        assert setting.sparsity is not None
        return round(setting.sparsity * self.whole.meter.total)

    def _next(self, now: nn.Module, setting: PruneSpec, missing: int) -> Plan | None:
        """Choose what to remove from the model as it is now; None where no chosen layer has more to give."""
        if self.last is None:
            first = replace(self.whole, spec=setting)
            wanted = self._wanted(setting)
            near = wanted if setting.sparsity == self.whole.spec.sparsity else self._reachable(first, wanted)
            return first.cut() if near == wanted else first.cut(min(near / first.meter.total, MOST))
        graph = trace(now, self.shape)
        chosen = {name for group in self.whole.groups for name in group.layers}
        if not any(chosen.issuperset(group.layers) for group in graph.groups):
            return None
        setting = replace(self._left(setting, channel_layers(now)), rows=0.0, row_shares=())
        ranking = ChannelRanking.of(now, setting, graph, self.data)
        setting = replace(setting, overrides=self._overrides(setting, ranking), shares=self._shares(setting, ranking))
        missing = self._reachable(replace(ranking, spec=setting), missing)
        share = min(missing / ranking.meter.total, MOST)
        caps = self._caps(setting, ranking)
        return replace(ranking, spec=replace(setting, sparsity=share, caps=caps, cap_all=None)).cut()

    def _reachable(self, ranking: ChannelRanking, wanted: int) -> int:
        """Return the count nearest to a wanted one that overrides allow: on the way neither their rounding nor their pace is a refusal."""
        if ranking.meter.unit != "channels" or not (ranking.spec.overrides or ranking.spec.shares):
            return wanted
        free = sum(group.size for group in ranking.groups if group.id not in ranking.fixed)
        return min(max(wanted, ranking.by_fixed), ranking.by_fixed + free)

    def _left(self, setting: PruneSpec, there: tuple[str, ...]) -> PruneSpec:
        """Return a setting for the remaining layers once whole blocks were removed."""
        if not self.blocks:
            return setting
        # those of the dense model: with the blocks its first or last layer may have gone, and what is protected by default is another
        layers = tuple(name for name in chosen_layers(self.dense, self.whole.spec, self.whole.graph.immovable) if name in there)
        overrides, caps = (tuple(pair for pair in pairs if pair[0] in there) for pairs in (setting.overrides, setting.caps))
        return replace(setting, depth=0.0, blocks=None, remove_layers=0, layers=layers, overrides=overrides, caps=caps)

    def _override(self, group: Group, overrides: tuple[tuple[str, float], ...]) -> float:
        """Return the share that overrides fix for a group, 0 where they do not."""
        return next((share for name, share in overrides if name in group.layers), 0.0)

    def _overrides(self, setting: PruneSpec, ranking: ChannelRanking) -> tuple[tuple[str, float], ...]:
        """Return what overrides of the dense model's layers ask of the layers as they are now."""
        found = []
        for name, share in setting.overrides:
            held = [tuple(group for group in ranked.groups if name in group.layers) for ranked in (self.whole, ranking)]
            before, size = (sum(group.size for group in groups) for groups in held)
            if any(roles_open(self.whole.graph, group, name, self.whole.open_to) > 1 for group in held[0]):
                # units of one way are not worth those of another: outputs are counted
                before, size = (ranked.graph.outputs[name].size if size else 0 for ranked in (self.whole, ranking))
            going = round(share * before) - (before - size)
            if size:  # a layer of one channel has nothing more to give
                found.append((name, min(max(going, 0) / size, MOST)))
        return tuple(found)

    def _shares(self, setting: PruneSpec, ranking: ChannelRanking) -> tuple[tuple[str, float], ...]:
        """Return what joint shares of the dense model's layers ask of the layers as they are now."""
        found = []
        for each, groups in groups_of(replace(self.whole, spec=setting)).items():
            before, size = sum(group.size for group in groups), sum(group.size for group in ranking.groups if each.holds(group.layers))
            if size:
                found.append((each.key, min(max(round(each.share * before) - (before - size), 0) / size, MOST)))
        return tuple(found)

    def _caps(self, setting: PruneSpec, ranking: ChannelRanking) -> tuple[tuple[str, float], ...]:
        """Return what caps of the dense model's layers leave of the layers as they are now; an override has been held against them."""
        fixed = {name for group in ranking.groups if self._override(group, setting.overrides) for name in group.layers}
        found = []
        for name, classes in ranking.graph.outputs.items():
            if setting.cap(name) < 1 and name not in fixed:
                before, size = self.whole.graph.outputs[name].size, classes.size
                allowed = math.floor(setting.cap(name) * before + 1e-9) - (before - size)
                found.append((name, max(allowed, 0) / size))
        return tuple(found)

    def _atoms(self) -> Ids:
        """Return the removable units of the dense model that have gone, but for those in whole blocks: no kept output hangs on them."""
        left = {name: found for name, found in self.whole.graph.incidence.items() if not within(name, self.blocks)}
        everything = [atoms for _, atoms, _ in left.values()]
        alive = [atoms[np.isin(positions, self.kept[name])] for name, (positions, atoms, _) in left.items()]
        return np.setdiff1d(np.concatenate([*everything, np.empty(0, np.int64)]), np.concatenate([*alive, np.empty(0, np.int64)]))

    def _all_gone(self, setting: PruneSpec) -> Plan:
        """Return the plan that removes from the dense model at once what all cuts together have removed."""
        atoms, whole = self._atoms(), self.whole
        if Removal(whole.graph, atoms, blocks=self.blocks).kept != self.kept:
            raise ProofError(
                "what several cuts have removed is no removal from the dense model: choose one-shot, and please report the model"
            )
        even = setting.sparsity if setting.scope == "uniform" and whole.plain else None
        asked = {group.id: self._override(group, setting.overrides) or even for group in whole.groups}
        meter = replace(whole.meter, blocks=self.blocks, inside=whole.inside if self.blocks else 0, rows=self.rows)
        removed, wanted = meter.removed(atoms), self._wanted(setting)
        return Plan(
            whole.graph, atoms, setting, whole.groups, asked, meter.unit, meter.total, wanted, removed, whole.limits, blocks=self.blocks,
            rows=self.rows,
        )  # fmt: skip

    def _short(self, plan: Plan) -> tuple[str, ...]:
        """Say what kept the cuts from what was asked for, and which layers would have been emptied."""
        told = () if self.last is None else self.last.limits
        emptied = tuple(sentence for sentence in told if sentence.endswith("its best channel stays"))
        assert plan.wanted is not None
        if self.whole.by_blocks > plan.wanted:
            return (*emptied, *beyond(self.whole, plan.wanted))
        exact = self.whole.plain and plan.spec.scope == "global"
        if abs(plan.removed - plan.wanted) <= (0 if exact else TOLERANCE * plan.total):
            return emptied
        reasons = (sentence.partition(" go: ")[2] for sentence in told if " go: " in sentence)
        reason = NOTHING_LEFT if self.spent else next(reasons, NOTHING_NEARER)
        shares = f"{asked(plan.spec.sparsity or 0.0)} of the {UNITS[plan.unit]} were asked for and {percent(plan.removed / plan.total)} go"
        return (*emptied, ordinary(f"{shares}: {reason}"))


def _check_same(expected: nn.Module, actual: nn.Module) -> None:
    """Raise unless two models have tensors of the same shapes."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in tensor_state(model).items()} for model in (expected, actual)]
    if shapes[0] != shapes[1]:
        raise ProofError("several cuts gave another shape than one cut of the same channels: choose one-shot, and please report the model")


Cut = Callable[[nn.Module, PruneSpec], PruneResult]
"""From the model as it is now and the setting of a cut to all that has gone from the dense model; ``model`` has the present weights."""


def settings_of(spec: PruneSpec, recovery: Recovery) -> tuple[PruneSpec, ...]:
    """Return the pruning setting of each cut; what overrides ask for rises with the total."""
    if recovery.schedule == "one-shot":
        return (spec,)
    if spec.indices or spec.soft:
        raise RecoveryError(
            f"schedule {recovery.schedule!r} removes ever more channels by their scores: leave {named('indices')} and {named('soft')} out, "
            "or choose one-shot"
        )
    if spec.mode == "nm":
        raise RecoveryError(
            f"the pattern {spec.pattern} has one sparsity, and schedule {recovery.schedule!r} needs several: choose one-shot"
        )
    if spec.sparsity is None:
        raise RecoveryError(f"schedule {recovery.schedule!r} rises to a sparsity: give one instead of a threshold, or choose one-shot")
    shares = SCHEDULES[recovery.schedule](spec.sparsity, recovery.steps, 0.0)
    return tuple(_scaled(spec, share) for share in shares)


def _scaled(spec: PruneSpec, share: float) -> PruneSpec:
    """Return a setting at a smaller sparsity, its overrides in proportion."""
    assert spec.sparsity is not None
    part = share / spec.sparsity if spec.sparsity else 1.0
    smaller = {name: tuple((key, value * part) for key, value in getattr(spec, name)) for name in ("overrides", "shares")}
    return replace(spec.at(share), **smaller)  # type: ignore[arg-type]


def cutter(model: nn.Module, spec: PruneSpec, recovery: Recovery, data: Any, shape: tuple[int, ...]) -> Cut:
    """Return what carries out the cuts of a schedule on a dense model."""
    if recovery.schedule == "one-shot":
        return lambda now, setting: prune(now, setting, data, input_shape=shape)
    if spec.mode == "structured":
        return Shrinking(model, spec, data, shape).cut
    before = count(model, shape)

    def tighter(now: nn.Module, setting: PruneSpec) -> PruneResult:
        # weights that are zero already go first, so that the masks only ever grow
        if CRITERIA[setting.criterion].updates:
            return replace(update(now, setting, shape, data), before=before)
        return replace(mask(now, Ranking.of(now, setting, data), setting, shape), before=before)

    return tighter
