"""What stays of every group: the original indices of channels, heads and dimensions, to read, to copy and to take along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from prunekit.formatting import THIN, plural
from prunekit.plots.channel_groups import tail
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import listed
from prunekit.ui.prune.kept_weights import kept_indices, ranges
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded

UNITS = {
    "channels": ("channel", "channels"),
    "heads": ("head", "heads"),
    "head dimensions": ("dimension", "dimensions of each head"),
    "experts": ("expert", "experts"),
}
SHORT = {**{name: many for name, (_, many) in UNITS.items()}, "head dimensions": "dimensions"}
HEADS = (
    "Attention has two rows: which of its heads stay, and which dimensions stay within each head, the same in all of them, so that heads "
    "stay equally wide."
)
MOST_SHOWN = 160  # characters of one list in the table
HIGH = 350  # pixels: a longer table scrolls


@dataclass(frozen=True)
class Stay:
    """What stays of layers that keep the same."""

    group: str  # id of their group; empty for layers that are in none, and for those of blocks that go
    layers: tuple[str, ...]
    unit: str  # what the indices count: a key of ``UNITS``
    kept: tuple[int, ...]  # original indices of the kept units, from 0
    of: int  # how many there were

    @property
    def text(self) -> str:
        """Return the indices as ranges, ``0-3, 5``."""
        return ranges(self.kept)


def stays(plan: Plan) -> tuple[Stay, ...]:
    """Return the kept units of every group open to removal, and of every layer removed with a block.

    Layers of one group that keep the same channels share a row; behind a concatenation they may differ.
    """
    open_to = {group.id for group in plan.groups}
    found = [row for group in plan.graph.groups if group.id in open_to for row in _of_group(plan, group)]
    gone = [Stay("", (name,), "channels", (), len(plan.graph.outputs[name])) for name, kept in plan.kept.items() if not kept]
    return (*found, *gone)


def _of_group(plan: Plan, group: Group) -> list[Stay]:
    """Return the rows of one group: units of attention, or channels of its layers."""
    there = tuple(name for name in group.layers if plan.kept[name])
    if not there:
        return []
    if group.kind != "channels":
        stay = np.flatnonzero(~plan.gone[group.atoms])
        return [Stay(group.id, there, group.kind, tuple(stay.tolist()), group.size)]
    same: dict[tuple[tuple[int, ...], int], list[str]] = {}
    for name in there:
        same.setdefault((plan.kept[name], len(plan.graph.outputs[name])), []).append(name)
    return [Stay(group.id, tuple(names), "channels", *kept) for kept, names in same.items()]


def section(loaded: Loaded, view: View) -> None:
    """Show which channels, heads, dimensions and blocks stay, where channels go."""
    if not isinstance(view.cut, Plan):
        return
    show.section("What stays, by its original index?")
    st.fragment(_body, key="staying_body")(loaded, view.cut)


def _body(loaded: Loaded, plan: Plan) -> None:
    """Draw the table, the picked row to copy, and the files."""
    rows = stays(plan)
    picked = _table(rows)
    left, right = st.columns([2, 1], gap="medium")
    if {row.unit for row in rows} & {"heads", "head dimensions"}:
        st.caption(HEADS)
    with left:
        _copy(rows, picked)
    with right:
        _files(loaded, plan, rows)
    if plan.blocks:
        names = listed(plan.blocks, 12)
        st.caption(f"**{plural(len(plan.blocks), 'whole block')}** {'goes' if len(plan.blocks) == 1 else 'go'}: {names}.")


def _table(rows: Sequence[Stay]) -> int:
    """Show a row for each list of indices; return the place of the picked one."""
    frame = pd.DataFrame([_cells(row) for row in rows], columns=["layers", "left", "share", "kept"])
    column = st.column_config
    config = {
        "layers": column.TextColumn("Layers", width=210),
        "left": column.TextColumn("What stays", width=140),
        "share": show.share("Share", width=90),
        "kept": column.TextColumn("Original indices", width=320),
    }
    event = st.dataframe(
        show.in_percent(frame, "share"), column_config=config, hide_index=True,
        height="content" if len(rows) <= 11 else HIGH, key="staying",
        selection_mode="single-row-required", selection_default={"selection": {"rows": [0]}}, on_select="rerun",
        alt="What stays of each group, by original index",
    )  # fmt: skip
    picked = event["selection"]["rows"]
    return int(picked[0]) if picked and picked[0] < len(rows) else 0


def _cells(row: Stay) -> tuple[str, str, float, str]:
    """Return one row of the table."""
    rest = len(row.layers) - 1
    name = tail(row.layers[0], 30) + (f" and {rest} more" if rest else "")
    if not row.kept:
        return name, "its block goes", 0.0, ""
    text = row.text if len(row.text) <= MOST_SHOWN else row.text[: row.text.rindex(",", 0, MOST_SHOWN)] + ", …"
    return name, f"{len(row.kept):,} of {row.of:,} {SHORT[row.unit]}".replace(",", THIN), len(row.kept) / row.of, text


def _copy(rows: Sequence[Stay], picked: int) -> None:
    """Show the indices of the picked row, with a button that copies them."""
    row = rows[picked]
    if not row.kept:
        st.markdown(f"**{show.plain(row.layers[0])}** goes with its whole block: no index stays.")
        return
    same = f", the same in {plural(len(row.layers), 'layer')}" if row.layers[1:] else ""
    st.markdown(f"**{show.plain(row.layers[0])}**: the {UNITS[row.unit][1]} that stay{same}")
    how = st.segmented_control(
        "As", ["Ranges", "JSON"], required=True, default="Ranges", label_visibility="collapsed", key="staying_as", persist_state="session"
    )
    text = json.dumps(list(row.kept)) if how == "JSON" else row.text
    st.code(text, language=None, wrap_lines=True, height=170 if len(text) > 170 else "content")


def _files(loaded: Loaded, plan: Plan, rows: Sequence[Stay]) -> None:
    """Offer the indices of all groups as files."""
    name = loaded.source.name.rpartition("/")[2].replace(":", "-")
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "JSON", data=partial(kept_indices, plan), key="kept_indices", file_name=f"{name}-kept.json", mime="application/json",
            icon=":material/download:", on_click="ignore",
            help="Each layer's name with the outputs that stay, as `prune(...).kept` in Python.",
        )  # fmt: skip
        st.download_button(
            "CSV", data=partial(as_csv, rows), key="kept_table", file_name=f"{name}-kept.csv", mime="text/csv", icon=":material/download:",
            on_click="ignore", help="A line for each layer and kind of unit: group, layer, unit, how many stay, of how many, indices.",
        )  # fmt: skip
    st.caption("Of all layers. Indices count from 0 in the dense model.")


def as_csv(rows: Sequence[Stay]) -> str:
    """Return the kept units as CSV, a line for each layer and kind of unit; indices are separated by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["group", "layer", "unit", "stay", "of", "indices"])
    for row in rows:
        writer.writerows((row.group, name, UNITS[row.unit][0], len(row.kept), row.of, " ".join(map(str, row.kept))) for name in row.layers)
    return out.getvalue()
