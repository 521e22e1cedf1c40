"""The coupled groups on the Layers page: all of them, and the channels removed with the one picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.formatting import plural
from prunekit.plots.channel_groups import tail
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import INSIDE, Shrinking, listed, sentence, shrinking
from prunekit.ui.layers.tracks import CHART, HIGH, OTHER, SIGNS, Attention, alone, attention, picture
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Loaded, Source

MOST_ROWS = 30  # beyond this many layers only those around the picked group are drawn, unless all are asked for


def section(loaded: Loaded) -> None:
    """Show which layers shrink together, through what, and what follows the group that is picked."""
    show.section("What shrinks together?", "Removing a channel here removes it there: structured pruning has to take these layers as one.")
    try:
        found = shrinking(loaded.source)
    except PrunekitError as error:
        st.error(show.said(error), icon=":material/error:")
        return
    graph = cuts.graph(loaded.source)
    if found:
        st.fragment(_groups, key="couplings_body")(loaded)
    else:
        show.empty("No layer of this model can lose channels; the reasons are below. Weights can still go: prune unstructured.", "lock")
    _immovable(graph)


def _groups(loaded: Loaded) -> None:
    """Show the pick, the picture and the words; picking one runs only this part of the page again."""
    found = shrinking(loaded.source)
    marked = any(entry.coupled or entry.group.kind in INSIDE for entry in found)
    if not any(entry.coupled for entry in found):
        shrinkable = len({entry.group.layers for entry in found})
        show.empty(
            f"No layers of this model are tied: {shrinkable} of {len(loaded.every)} can shrink, each alone. "
            "Pick one to see what loses inputs with it.",
            "link_off",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = _pick(loaded.source, found)
        everything = len(loaded.every) <= MOST_ROWS
        if picked is not None and not everything:
            everything = st.toggle("All layers", key=f"couplings_all_{_tag(loaded.source)}")
    if picked is None and not marked and len(loaded.every) > MOST_ROWS:
        return
    left, right = st.columns([6, 5], gap="medium")
    with left:
        take_mark = partial(_take_mark, loaded.source, [entry.group.id for entry in found])
        picture(loaded, found, picked, everything or picked is None, take_mark)
    with right:
        if picked is None:
            _overview(loaded.source, found)
        else:
            _members(found[picked])


def _tag(source: Source) -> str:
    """Return what tells the widgets of one model from those of another."""
    return f"{source.name}_{source.upload}"


def _pick(source: Source, found: Sequence[Shrinking]) -> int | None:
    """Return the place of the group that is picked, or None for all."""
    names = {entry.group.id: entry for entry in found}
    none = "All groups" if found[0].coupled else "No layer picked"
    picked = st.selectbox(
        "Group", ["", *names], format_func=lambda name: _title(names[name]) if name else none, key=f"couplings_{_tag(source)}",
        persist_state="session", label_visibility="collapsed", width=420,
    )  # fmt: skip
    return list(names).index(picked) if picked else None


def _title(entry: Shrinking) -> str:
    """Return how the list names a group."""
    rest = len(entry.group.layers) - 1
    if not rest and entry.group.kind in INSIDE:
        return f"{entry.group.layers[0]} · {entry.units}"
    return f"{entry.group.id}{f' and {rest} more' if rest else ', alone'} · {entry.units}"


def _take(source: Source, ids: Sequence[str], place: int) -> None:
    """Pick a group, or none where it was picked already; only to be called from callbacks."""
    key = f"couplings_{_tag(source)}"
    st.session_state[key] = "" if st.session_state.get(key) == ids[place] else ids[place]


def _take_mark(source: Source, ids: Sequence[str]) -> None:
    """Pick the group whose mark in the picture was clicked."""
    points = st.session_state[CHART]["selection"]["points"]
    data = points[0].get("customdata") if points else None
    place = int(data[0] if isinstance(data, list) else data["0"]) if data else -1
    if place >= 0:
        _take(source, ids, place)


def _overview(source: Source, found: Sequence[Shrinking]) -> None:
    """List the coupled groups and attention; a selected row picks its group."""
    inside = attention(found)
    tied = [(place, entry) for place, entry in enumerate(found) if entry.coupled or (not alone(entry) and _leads(inside, entry, place))]
    if not tied:
        return
    words = [inside[e.group.layers].words if e.group.layers in inside else e.units for _, e in tied]
    rows = [(tail(e.group.layers[0], 19), len(e.group.layers), said, _signs(e)) for (_, e), said in zip(tied, words, strict=True)]
    frame = pd.DataFrame(rows, columns=["first", "layers", "units", "by"])
    config = {
        "first": show.text_column("From", frame["first"], 128),
        "layers": st.column_config.NumberColumn("Layers", width=55),
        "units": st.column_config.TextColumn("What can go", width=115),
        "by": st.column_config.TextColumn("By", width=60, help="The operations that tie them; what a sign means stands below the picture."),
    }
    key, ids = f"couplings_rows_{_tag(source)}", [entry.group.id for entry in found]
    st.dataframe(
        frame, column_config=config, hide_index=True, height="content" if len(rows) <= 14 else HIGH, key=key, selection_mode="single-row",
        on_select=partial(_take_row, key, source, ids, [place for place, _ in tied]), alt="Groups of layers that shrink together",
    )  # fmt: skip


def _leads(inside: Mapping[tuple[str, ...], Attention], entry: Shrinking, place: int) -> bool:
    """Return whether a group stands in the list for its attention: the heads do, where there are any."""
    found = inside[entry.group.layers]
    return place == (found.heads if found.heads >= 0 else found.dimensions)


def _signs(entry: Shrinking) -> str:
    """Return the signs of the operations that tie a group."""
    return " ".join(dict.fromkeys(SIGNS.get(coupling.operation, OTHER) for coupling in entry.group.couplings))


def _take_row(key: str, source: Source, ids: Sequence[str], places: Sequence[int]) -> None:
    """Pick the group whose row was selected."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        _take(source, ids, places[rows[0]])


def _members(entry: Shrinking) -> None:
    """Say what one channel of a group takes along, layer by layer."""
    st.markdown(sentence(entry))
    rows = [(tail(row.layer, 26), str(row), _through(entry, row.layer)) for row in entry.members]
    rows += [(tail(row.layer, 26), str(row), "") for row in entry.readers]
    frame = pd.DataFrame(rows, columns=["layer", "loses", "by"])
    config = {
        "layer": st.column_config.TextColumn("Layer"),
        "loses": st.column_config.TextColumn("Loses with one", width=115),
        "by": st.column_config.TextColumn("By", help="The operations in which its outputs meet those of the others, and where they stand."),
    }
    st.dataframe(
        frame if entry.coupled else frame.drop(columns="by"), column_config=config, hide_index=True, alt="What goes with one channel",
        height="content" if len(rows) <= 11 else 420,
    )  # fmt: skip


def _through(entry: Shrinking, name: str) -> str:
    """Return the operations that tie one layer to its group, ``+ layer1.0, layer1.1``."""
    places: dict[str, list[str]] = {}
    for coupling in entry.group.couplings:
        if name in coupling.layers:
            places.setdefault(SIGNS.get(coupling.operation, OTHER), []).append(tail(coupling.module, 22) or "forward")
    return "; ".join(f"{sign} {', '.join(found)}" for sign, found in places.items())


def _immovable(graph: ChannelGraph) -> None:
    """Name what cannot shrink, those with one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, why in graph.immovable.items():
        reasons.setdefault(why, []).append(name)
    sentences = [f"**{listed(names, 6)}** cannot lose outputs: {show.plain(why)}." for why, names in reasons.items()]
    sentences += [show.plain(limit) + "." for limit in graph.limits]
    if len(sentences) > 3:
        with st.expander(f"What cannot shrink, and why ({plural(len(graph.immovable), 'layer')})"):
            st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
    elif sentences:
        st.caption("  \n".join(sentences))
