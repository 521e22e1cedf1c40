"""Structured pruning: blocks chosen and channels scored once, cut at any target; what fell short of it says what was in the way."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import OutOfReach
from prunekit.formatting import asked, ordinary, percent
from prunekit.pruning.layer_selection import share_out
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.channel_schedule import roles_open
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.removal_order import RemovalOrder
from prunekit.pruning.structured.target_search import TOLERANCE, solve


class ChannelRanking(RemovalOrder):
    """The removable channels of the chosen layers, scored once and cut at any target; attributes as of `ScoredGroups`."""

    def cut(self, sparsity: float | None = None) -> Plan:
        """Choose the channels that go.

        Parameters
        ----------
        sparsity : float, optional
            Share of what the setting's target counts; the spec's own cut when left out.

        Returns
        -------
        Plan
            Never empties a layer: what prevents the asked-for share is named in its ``limits``.

        Raises
        ------
        PruningError
            If overrides make the total impossible.
        """
        spec = self.spec if sparsity is None else self.spec.at(sparsity)
        fixed, limits = self.overridden()
        if spec.threshold is not None:
            return self._below(spec, spec.threshold, fixed, limits)
        assert spec.sparsity is not None
        wanted = round(spec.sparsity * self.meter.total)
        rest = self._left(wanted)
        if spec.scope == "uniform" and self.plain:
            return self._evenly(spec, wanted, rest, fixed, limits)
        levels = solve(self.stairs, lambda now: self.taken(now, fixed), wanted, 0 if self.plain else self.meter.total)
        atoms = np.concatenate([fixed, self.stairs.gone(levels)])
        return self._plan(spec, {}, atoms, wanted, (*limits, *shortfall(self, spec, wanted, atoms)))

    def _left(self, wanted: int) -> int:
        """Return what the free groups have to give in channels; raise if overrides put the total out of reach."""
        if self.others and self.by_fixed > wanted:
            return 0  # said by beyond()
        if self.meter.unit == "channels":
            sizes, taken = {"": self.inside}, {"": self.inside}  # by no group: what goes with the blocks
            sizes |= {group.id: group.size for group in self.groups}
            taken |= {name: int(fixed.atoms.size) for name, fixed in self.fixed.items()}
            return share_out(wanted, sizes, taken, "channels")
        if self.by_fixed > wanted + TOLERANCE * self.meter.total:
            raise OutOfReach.at(self.by_fixed / self.meter.total, UNITS[self.meter.unit], more=True)
        return 0

    def _evenly(self, spec: PruneSpec, wanted: int, rest: int, fixed: Ids, limits: list[str]) -> Plan:
        """Take the same share of every free group, each rounded by itself."""
        assert spec.sparsity is not None
        free = self.stairs.ladders
        share = rest / max(sum(steps.group.size for steps in free), 1) if self.fixed or self.blocks else spec.sparsity
        counts = {steps.group.id: round(share * steps.group.size) for steps in free}
        emptied = [
            f"{steps.group.id} would have been emptied: its best channel stays" for steps in free if counts[steps.group.id] > steps.top
        ]
        picked = [steps.order[: counts[steps.group.id]] for steps in free]
        asked = {steps.group.id: 1 - (1 - share) ** self._ways[steps.group.id] for steps in free}
        return self._plan(spec, asked, np.concatenate([fixed, *picked]), wanted, (*limits, *emptied))

    @cached_property
    def _ways(self) -> dict[str, int]:
        """Group id -> in how many ways an output of its layers can go: the same share of each way takes more than that of the layer."""
        return {g.id: max(roles_open(self.graph, g, name, self.open_to) for name in g.layers) for g in self.groups}

    def _below(self, spec: PruneSpec, threshold: float, fixed: Ids, limits: list[str]) -> Plan:
        """Take what scores below a threshold, as far as caps and multiples allow."""
        picked = [fixed]
        for steps in self.stairs.ladders:
            below = int((self.scores[steps.group.id] < threshold).sum())
            if below > steps.order.size and not spec.capped:
                limits.append(f"{steps.group.id} would have been emptied: its best channel stays")
            elif below > steps.levels[-1] and spec.capped:
                limits.append(f"{steps.group.id} has {below} channels below the threshold and loses {steps.levels[-1]}: its cap holds it")
            picked.append(steps.gone(steps.below(threshold)))
        return self._plan(spec, {}, np.concatenate(picked), None, tuple(limits))

    def _plan(self, spec: PruneSpec, asked: dict[str, float], atoms: Ids, wanted: int | None, limits: tuple[str, ...]) -> Plan:
        """Put a plan together."""
        requested = {g.id: self.fixed[g.id].share if g.id in self.fixed else asked.get(g.id) for g in self.groups}
        unit, removed = self.meter.unit, self.meter.removed(atoms)
        limits = (*limits, *beyond(self, wanted))
        return Plan(
            self.graph, atoms, spec, self.groups, requested, unit, self.meter.total, wanted, removed, limits,
            blocks=self.blocks, rows=self.rows,
        )  # fmt: skip


def plan(graph: ChannelGraph, model: nn.Module, spec: PruneSpec, data: Any = None) -> Plan:
    """Choose the channels that a structured setting removes.

    Parameters
    ----------
    graph : ChannelGraph
        From :func:`prunekit.pruning.trace`.
    model : nn.Module
        The dense model; scored, not modified.
    spec : PruneSpec
        A structured setting.
    data : Data, optional
        For criteria that look at training data.

    Returns
    -------
    Plan
        Shapes and counts; hand it to :func:`prunekit.pruning.shrink`.
    """
    return ChannelRanking.of(model, spec, graph, data).cut()


UNITS = {"channels": "channels", "params": "parameters", "macs": "MACs", "bytes": "bytes"}


def shortfall(ranking: RemovalOrder, spec: PruneSpec, wanted: int, atoms: Ids) -> tuple[str, ...]:
    """Say what kept a plan from what was asked for."""
    if ranking.others and ranking.by_fixed > wanted:
        return ()  # said by beyond()
    meter = ranking.meter
    got, total, unit = meter.removed(atoms), meter.total, UNITS[meter.unit]
    if ranking.plain:
        short = f"{wanted:,} of {total:,} channels were asked for, {got:,} can go: every layer keeps at least one channel"
        return (short,) if got < wanted else ()
    if abs(got - wanted) <= TOLERANCE * total:
        return ()
    return (ordinary(f"{_asked(spec)} of the {unit} were asked for and {percent(got / total)} go: {_culprit(ranking, spec, wanted)}"),)


def beyond(ranking: RemovalOrder, wanted: int | None) -> tuple[str, ...]:
    """Say that whole blocks and overrides alone take more than was asked for in all; nothing where nothing was asked for beside them.

    Overrides that do so without a block are refused before.
    """
    total = ranking.meter.total
    if not wanted or not ranking.others or ranking.by_fixed <= wanted + TOLERANCE * total:
        return ()
    unit = UNITS[ranking.meter.unit]
    given = [*([("blocks", "the depth")] if ranking.blocks else []), *([("rows of tables", "their share")] if ranking.rows else [])]
    given += [("overrides", "an override")] if ranking.by_fixed != ranking.by_blocks else []
    what, remedy = " and ".join(each for each, _ in given), " or ".join(each for _, each in given)
    taken = percent(ranking.by_fixed / total)
    said = f"{_asked(ranking.spec)} of the {unit} were asked for, and the {what} alone take {taken}: lower {remedy}, or raise the share"
    return (ordinary(said),)


def _asked(spec: PruneSpec) -> str:
    """Return the share as it was asked for, not as it was rounded to whole channels."""
    return asked(spec.sparsity or 0.0)


def _culprit(ranking: RemovalOrder, spec: PruneSpec, wanted: int) -> str:
    """Return what stands in the way: found by asking again without it."""
    loose: dict[str, Any] = {"caps": (), "cap_all": None}
    causes: list[tuple[str, dict[str, Any]]] = []
    if spec.round_to > 1:
        causes.append((f"the channel multiple of {spec.round_to} prevents it", {"round_to": 1}))
    if spec.capped:
        causes.append(("the caps prevent it", loose))
    if len(causes) == 2:
        causes.append((f"the caps and the channel multiple of {spec.round_to} prevent it together", {"round_to": 1, **loose}))
    for words, change in causes:
        if _reaches(replace(ranking, spec=replace(spec, **change)), wanted):
            return words
    fixed, _ = ranking.overridden()
    if ranking.taken(ranking.stairs.levels(ranking.stairs.turns.size), fixed) < wanted:
        return "the chosen layers hold no more that can go, and every layer keeps at least one channel"
    return "whole channels allow nothing nearer"


def _reaches(ranking: RemovalOrder, wanted: int) -> bool:
    """Return whether a ranking comes near enough to what is wanted."""
    fixed, _ = ranking.overridden()
    total = ranking.meter.total
    return (
        abs(ranking.taken(solve(ranking.stairs, lambda now: ranking.taken(now, fixed), wanted, total), fixed) - wanted) <= TOLERANCE * total
    )
