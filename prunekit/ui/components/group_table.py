"""The coupled groups on the Prune page: one tick for all layers that shrink together, an override, and the channels kept of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.plots.channel_groups import tail
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import Shrinking, operations, shrinking
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source, load
from prunekit.ui.state.layer_choice import Edits, ticked_places
from prunekit.ui.state.settings import Settings

OVERRIDE = "A fixed share for this group; the others make up the total. Empty: none."
UNITS = "Of attention that can lose both: its heads × the dimensions within each head, the same in all of them."
TOGETHER = "{} with the same number here lose that share together; the scope says which of them gives what. Empty: none."


@dataclass(frozen=True)
class Row:
    """One or two groups on the same layers: of attention its heads and their dimensions."""

    layers: tuple[str, ...]  # what is ticked together
    entries: tuple[Shrinking, ...]

    @property
    def title(self) -> str:
        """Return the first layer, and how many others follow."""
        rest = len(self.layers) - 1
        return f"{tail(self.layers[0], 30)} and {rest} more" if rest else tail(self.layers[0], 34)


def rows_of(source: Source) -> tuple[Row, ...]:
    """Return the rows of the table: coupled groups first, each in the order of depth."""
    found: dict[tuple[str, ...], list[Shrinking]] = {}
    for entry in shrinking(source):
        found.setdefault(entry.group.layers, []).append(entry)
    return tuple(Row(layers, tuple(entries)) for layers, entries in found.items())


def table(now: Settings, loaded: Loaded, view: View | None) -> None:
    """Show every group with its tick, its override and its kept channels."""
    rows = rows_of(loaded.source)
    frame = _frame(now, loaded, view, rows)
    column = st.column_config
    config = {
        "tick": column.CheckboxColumn("Prune", width=65, pinned=True),
        "group": column.TextColumn("Layers that shrink together", width=220, pinned=True),
        "tied": column.TextColumn("Tied by", width=110),
        "units": column.TextColumn("What stays", width=160, help=UNITS),
        "removed": show.share("Removed", width=100),
        "override": column.NumberColumn("Override, %", min_value=0, max_value=99.9, step=0.5, width=95, help=OVERRIDE),
        "together": column.NumberColumn("Together, %", min_value=0, max_value=99.9, step=0.5, width=95, help=TOGETHER.format("Groups")),
    }
    order = [name for name in config if name != "tied" or frame[name].any()]
    key = f"groups_{loaded.source.name}_{loaded.source.upload}"
    st.data_editor(
        frame, column_config=config, column_order=order, hide_index=True, key=key, on_change=_take_edits, args=(key,),
        height="content" if len(frame) <= 14 else 460, disabled=["group", "tied", "units", "removed"],
        alt="Groups of layers that shrink together, with a tick and an override each",
    )  # fmt: skip


def _frame(now: Settings, loaded: Loaded, view: View | None, rows: tuple[Row, ...]) -> pd.DataFrame:
    """Return the rows of the table."""
    place = {name: i for i, name in enumerate(loaded.every)}
    ticked, fixed = set(ticked_places(now, loaded.source)), dict(now.overrides)
    joint = {i: share for members, share in now.shares for i in members}
    plan = view.cut if view is not None and isinstance(view.cut, Plan) else None

    def shares(of: dict[int, float]) -> list[float]:
        return [next((round(100 * of[place[name]], 1) for name in row.layers if place[name] in of), math.nan) for row in rows]

    found = pd.DataFrame(
        {
            "tick": [all(place[name] in ticked for name in row.layers) for row in rows],
            "group": [row.title for row in rows],
            "tied": [operations(row.entries[0].group) for row in rows],
            "units": [_units(row, plan) for row in rows],
            "removed": [_removed(row, plan) for row in rows],
            "override": shares(fixed),
            "together": shares(joint),
        }
    )
    return show.in_percent(found, "removed")


def _units(row: Row, plan: Plan | None) -> str:
    """Return the kept channels of each group of a row, ``31 of 64 channels``."""
    if plan is None:
        return ", ".join(entry.units for entry in row.entries)
    if all(not plan.kept[name] for name in row.layers):
        return "nothing: its block goes"
    left = [f"{entry.group.size - lost(entry.group, plan)} of {entry.units}" for entry in row.entries]
    return left[0] if len(left) == 1 else " × ".join(text.partition(" dimension")[0] for text in left)


def lost(group: Group, plan: Plan) -> int:
    """Return how many units of a group go; all of them where its layers go with whole blocks."""
    if all(not plan.kept[name] for name in group.layers):
        return group.size
    return int(plan.gone[group.atoms].sum())


def _removed(row: Row, plan: Plan | None) -> float:
    """Return which share of a row's units goes; heads and their dimensions multiply."""
    if plan is None:
        return 0.0
    return 1 - math.prod(1 - lost(entry.group, plan) / entry.group.size for entry in row.entries)


def _take_edits(key: str) -> None:
    """Carry edits of the table into the settings; the table is then drawn from them again."""
    edited: dict[int, dict[str, Any]] = st.session_state[key]["edited_rows"]
    if not edited:  # the table drops an edit once the data say the same, and reports that too
        return
    edits = Edits()
    rows, place = rows_of(edits.source), {name: i for i, name in enumerate(load(edits.source).every)}
    for index, values in edited.items():
        for name in rows[int(index)].layers:
            edits.edit(place[name], values)
    edits.put()
