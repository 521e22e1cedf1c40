"""The table of layers on the Prune page: a tick, an override and a cap for each; by group and by block in structured mode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.formatting import listed, shape
from prunekit.ui.components import block_table, group_table, left_out, show
from prunekit.ui.layers.table import kind
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.layer_choice import Edits, defaults, ticked_places, together
from prunekit.ui.state.settings import Settings

OVERRIDE = "A fixed share for this layer; the others make up the total. Empty: none."
INPUTS = "Inputs that the layers before it no longer deliver; their weights go, too."
CAP = "At most this share of this layer goes. Empty: no cap of its own."
PARTS = {"groups": "By group", "layers": "By layer", "blocks": "Whole blocks"}
NORMS = "Norms are not in the list: they follow the layer before them."


def section(now: Settings, loaded: Loaded, view: View | None) -> None:
    """Show what takes part: layer by layer, and where channels go by group and by block, too."""
    show.section("Which layers take part?" if now.mode != "structured" else "What takes part?")
    _, reasons = defaults(loaded.source, now.mode)
    part = _part(loaded.source) if now.mode == "structured" else "layers"
    if part == "blocks":
        block_table.table(now, loaded, view)
        _left_out(loaded, view)
        return
    if part == "groups":
        group_table.table(now, loaded, view)
    else:
        table(now, loaded, view, reasons)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_note(now, loaded.source, reasons), width="stretch")
        if now.layers is not None or now.overrides or now.shares or now.caps:
            plain = {"layers": None, "overrides": (), "targets": (), "shares": (), "caps": ()}
            st.button("Back to the default layers", icon=":material/restart_alt:", on_click=session.change, kwargs=plain)
    _left_out(loaded, view)


def _left_out(loaded: Loaded, view: View | None) -> None:
    """List the modules that take no part."""
    if view is not None:
        left_out.expander(left_out.of_view(loaded.source, view), view.params[0])


def _part(source: Source) -> str:
    """Let a person choose what the table lists: groups, layers or blocks."""
    try:
        there = ["groups", "layers"] if cuts.graph(source).groups else ["layers"]
    except PrunekitError:
        return "layers"
    there += ["blocks"] if block_table.names_of(source) else []
    picked = st.segmented_control(
        "List", there, format_func=PARTS.__getitem__, required=True, default=there[0], label_visibility="collapsed", key="ticks_part",
        persist_state="session",
    ) if there[1:] else there[0]  # fmt: skip
    return picked if picked in there else there[0]


def table(now: Settings, loaded: Loaded, view: View | None, reasons: Mapping[int, str]) -> None:
    """Show every layer with its tick, its override, its cap and what becomes of it."""
    frame = _rows(now, loaded, view, reasons)
    structured = now.mode == "structured"
    column = st.column_config
    config = {
        "tick": column.CheckboxColumn("Prune", width=70, pinned=True),
        "layer": show.text_column("Layer", frame["layer"], pinned=True),
        "override": column.NumberColumn("Override, %", min_value=0, max_value=99.9, step=0.5, width=110, help=OVERRIDE),
        "together": column.NumberColumn(
            "Together, %", min_value=0, max_value=99.9, step=0.5, width=110, help=group_table.TOGETHER.format("Layers")
        ),
        "cap": column.NumberColumn("Cap, %", min_value=0, max_value=100, step=0.5, width=80, help=CAP),
        "removed": show.share("Removed", width=100),
        "inputs": show.share("Inputs lost", width=110, help=INPUTS),
        "shape": column.TextColumn("Weight, before → after" if structured else "Shape of the weight"),
        "type": column.TextColumn("Type", width=60),
        "note": column.TextColumn("Note"),
    }
    left_out = {"unstructured": {"note", "inputs"}, "nm": {"note", "inputs", "override", "together", "cap"}, "structured": set()}[now.mode]
    order = [name for name in config if name not in left_out]
    key = f"ticks_{now.mode}_{loaded.source.name}_{loaded.source.upload}"
    st.data_editor(
        frame, column_config=config, column_order=order, hide_index=True, key=key, on_change=_take_edits, args=(key,),
        height="content" if len(frame) <= 14 else 460,
        disabled=["layer", "type", "shape", "removed", "inputs", "note"], alt="Layers with a tick, an override and a cap each",
    )  # fmt: skip


def _rows(now: Settings, loaded: Loaded, view: View | None, reasons: Mapping[int, str]) -> pd.DataFrame:
    """Return the rows of the table."""
    base = model_cache.layer_frame(loaded.source)
    fixed, caps, ticked = dict(now.overrides), dict(now.caps), set(ticked_places(now, loaded.source))
    joint = {place: share for members, share in now.shares for place in members}
    frame = view.frame if view is not None else None
    after = frame["after"] if frame is not None else base["shape"]
    stays = [limit.partition(" stays whole: ") for limit in (view.limits if view is not None else ())]
    whole = {name: f"stays whole: {why}" for name, mark, why in stays if mark}
    found = pd.DataFrame(
        {
            "tick": [place in ticked for place in base.index],
            "layer": base["name"],
            "type": [kind(name) for name in base["type"]],
            "shape": [_change(before, left) for before, left in zip(base["shape"], after, strict=True)],
            "removed": frame["removed"] if frame is not None else 0.0,
            "inputs": frame["inputs"] if frame is not None and "inputs" in frame else 0.0,
            # a cell cuts off what stands behind its last digit
            "override": [round(100 * fixed[place], 1) if place in fixed else math.nan for place in base.index],
            "together": [round(100 * joint[place], 1) if place in joint else math.nan for place in base.index],
            "cap": [round(100 * caps[place], 1) if place in caps else math.nan for place in base.index],
            "note": [reasons.get(place, "") or whole.get(name, "") for place, name in base["name"].items()],
        }
    )
    return show.in_percent(found, "removed", "inputs")


def _change(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """Return what becomes of a shape; a layer whose whole block goes has none."""
    return shape(before) if after == before else f"{shape(before)} → {shape(after) if after[0] else 'gone'}"


def _who(now: Settings, source: Source) -> str:
    """Say how many layers take part."""
    everyone = len(model_cache.layer_frame(source))
    taking = len(ticked_places(now, source))
    return "All layers" if taking == everyone else f"{taking} of {everyone} layers"


def _note(now: Settings, source: Source, reasons: Mapping[int, str]) -> str:
    """Say what is unticked by default."""
    if now.mode == "nm":
        return f"{_who(now, source)} take part. {NORMS} The pattern sets the share of each."
    if now.mode == "unstructured":
        fixed = (
            "An override fixes one layer's share, one number under Together that of several, a cap limits it; the others make up the total."
        )
        return f"{_who(now, source)} take part. {NORMS} {fixed}"
    names = model_cache.layer_frame(source)["name"]
    each: dict[str, list[str]] = {}
    for place, reason in reasons.items():
        each.setdefault(reason, []).append(f"**{names[place]}**")
    why = "".join(f" {listed(which, 6, 'layer')} {'are' if which[1:] else 'is'} unticked by default: {why}." for why, which in each.items())
    return "Layers that shrink together are ticked and overridden together." + why + " " + NORMS


def _take_edits(key: str) -> None:
    """Carry edits of the table into the settings; the table is then drawn from them again."""
    rows: dict[int, dict[str, Any]] = st.session_state[key]["edited_rows"]
    if not rows:  # the table drops an edit once the data say the same, and reports that too
        return
    edits = Edits()
    places = list(model_cache.layer_frame(edits.source).index)
    for row, values in rows.items():
        edits.cap(places[int(row)], values)
        for member in together(edits.source, edits.now.mode, places[int(row)]):
            edits.edit(member, values)
    edits.put()
