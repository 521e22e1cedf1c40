"""The picture of what shrinks together: layers, groups of several layers, the operations that tie them, and attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from prunekit.formatting import plural
from prunekit.plots.channel_groups import coupled
from prunekit.pruning.structured.channel_groups import DIMENSIONS, HEADS, ChannelGraph
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import INSIDE, Shrinking, listed, operations
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Loaded

SIGNS = {
    "addition": "+", "product": "×", "division": "÷", "depthwise convolution": "dw", "grouped convolution": "gr",
    "concatenation along another axis": "||", "matrix product": "@",
}  # fmt: skip
OTHER = "•"
HIGH = 620  # pixels: a taller picture scrolls on its own
CHART = "couplings"


@dataclass(frozen=True)
class Attention:
    """The groups that stand on one attention."""

    layers: tuple[str, ...]  # what loses outputs with a head
    heads: int  # heads, dimensions: places of the two groups; -1 where there is none
    dimensions: int
    words: str  # both in words, ``12 heads × 64``


def attention(found: Sequence[Shrinking]) -> dict[tuple[str, ...], Attention]:
    """Return the attention among the groups, by its layers."""
    places: dict[tuple[str, ...], dict[str, int]] = {}
    for place, entry in enumerate(found):
        if entry.group.kind in INSIDE:
            places.setdefault(entry.group.layers, {})[entry.group.kind] = place
    return {
        layers: Attention(layers, kinds.get(HEADS, -1), kinds.get(DIMENSIONS, -1), _words([found[place] for place in kinds.values()]))
        for layers, kinds in places.items()
    }


def _words(entries: Sequence[Shrinking]) -> str:
    """Return the units of one attention in words."""
    sizes = {entry.group.kind: entry.group.size for entry in entries}
    return f"{plural(sizes[HEADS], 'head')} × {sizes[DIMENSIONS]}" if len(sizes) == 2 else entries[0].units


def alone(entry: Shrinking) -> bool:
    """Return whether it is a layer that loses channels by itself."""
    return not entry.coupled and entry.group.kind not in INSIDE


def layer_rows(graph: ChannelGraph, found: Sequence[Shrinking], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the layers for the picture.

    Columns ``name``, ``channels``, ``group`` (that each forms alone, or -1), ``why`` (it cannot shrink); of attention ``heads`` and
    ``dimensions`` (the places of its groups, or -1) and ``inside`` (both in words).
    """
    tied = {name for entry in found if entry.coupled for name in entry.group.layers}
    rings = {entry.group.layers[0]: place for place, entry in enumerate(found) if alone(entry)}
    inside = {layers[0]: (a.heads, a.dimensions, a.words) for layers, a in attention(found).items() if len(layers) == 1}
    outputs = graph.outputs
    rows = [
        (
            name,
            len(outputs[name]) if name in outputs else shape[0],
            -1 if name in tied else rings.get(name, -1),
            graph.immovable.get(name, ""),
            *inside.get(name, (-1, -1, "")),
        )
        for name, shape in zip(frame["name"], frame["shape"], strict=True)
    ]
    return pd.DataFrame(rows, columns=["name", "channels", "group", "why", "heads", "dimensions", "inside"])


def track_rows(found: Sequence[Shrinking]) -> pd.DataFrame:
    """Return the groups of several layers for the picture: a line each."""
    rows = [
        (place, entry.group.layers, entry.channels, f"{entry.units}, {plural(len(entry.group.layers), 'layer')}")
        for place, entry in enumerate(found)
        if entry.coupled
    ]
    return pd.DataFrame(rows, columns=["group", "layers", "channels", "text"])


def tie_rows(found: Sequence[Shrinking]) -> pd.DataFrame:
    """Return the operations for the picture: a sign each."""
    rows = [
        (
            place,
            SIGNS.get(coupling.operation, OTHER),
            coupling.layers,
            f"<b>{coupling}</b><br>ties {listed(coupling.layers, 12, escape=False)}",
        )
        for place, entry in enumerate(found)
        for coupling in entry.group.couplings
    ]
    return pd.DataFrame(rows, columns=["group", "sign", "layers", "text"])


def picture(loaded: Loaded, found: Sequence[Shrinking], picked: int | None, everything: bool, take_mark: Callable[[], None]) -> None:
    """Draw the groups, or those around the picked one; a click on a mark of one takes it."""
    layers = layer_rows(cuts.graph(loaded.source), found, model_cache.layer_frame(loaded.source))
    notes = {} if picked is None else _notes(found[picked])
    rows = [place for place, name in enumerate(layers["name"]) if name in notes]
    window = (0, len(layers) - 1) if everything else (max(rows[0] - 1, 0), min(rows[-1] + 1, len(layers) - 1))
    fig = coupled(layers, track_rows(found), tie_rows(found), selected=picked, notes=notes, window=window, dark=show.dark())
    with st.container(height=HIGH if fig.layout.height > HIGH else "content", border=False):
        show.chart(
            fig, CHART, "", alt="Layers from input to output, and lines that join those that shrink together",
            on_select=take_mark, selection_mode="points",
        )  # fmt: skip
    st.caption(_caption(layers, found, picked, window))


def _notes(entry: Shrinking) -> dict[str, str]:
    """Return what to write beside each layer that loses something: a layer may lose inputs as well as outputs."""
    notes = {row.layer: str(row) for row in entry.members}
    for row in entry.readers:
        notes[row.layer] = f"{notes[row.layer]}, {plural(row.each, 'input')}" if row.layer in notes else str(row)
    return notes


def _caption(layers: pd.DataFrame, found: Sequence[Shrinking], picked: int | None, window: tuple[int, int]) -> str:
    """Say how much is coupled, and how to read the picture."""
    tied = [entry for entry in found if entry.coupled]
    stuck, alone, heads = int((layers["why"] != "").sum()), int((layers["group"] >= 0).sum()), int((layers["inside"] != "").sum())
    shown = window[1] - window[0] + 1
    part = f"Layers {window[0] + 1} to {window[1] + 1} of {len(layers)}. " if shown < len(layers) else ""
    if picked is None and tied:
        most = max(tied, key=lambda entry: len(entry.group.layers))
        names = {name for entry in tied for name in entry.group.layers}
        part += (
            f"**{plural(len(tied), 'group')}** {'ties' if len(tied) == 1 else 'tie'} {len(names)} of {plural(len(layers), 'layer')}; "
            f"the largest ties **{len(most.group.layers)}**, from {show.plain(most.group.layers[0])} on, by {operations(most.group)}. "
        )
    signs = dict.fromkeys(coupling.operation for entry in tied for coupling in entry.group.couplings)
    legend = [f"**{show.plain(SIGNS.get(operation, OTHER))}** {operation}" for operation in signs]
    legend += [f"**◇** heads of attention, and the dimensions in each ({heads})"] * bool(heads)
    legend += [f"**○** shrinks alone ({alone})"] * bool(alone) + [f"**■** cannot shrink ({stuck})"] * bool(stuck)
    if picked is not None:
        return f"{part}At the right: what each layer loses with one of them. {', '.join(legend)}. Click one of its marks again to see all."
    thick = "The thicker a line, the more channels. " * bool(tied)
    return f"{part}{', '.join(legend)}. {thick}Click a mark to single it out."
