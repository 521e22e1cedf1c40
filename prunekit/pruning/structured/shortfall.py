"""What kept a structured plan from what was asked of it: found by asking again without each obstacle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prunekit.config.spec import PruneSpec
from prunekit.formatting import asked, ordinary, percent
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.removal_order import RemovalOrder
from prunekit.pruning.structured.target_search import TOLERANCE, solve

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
