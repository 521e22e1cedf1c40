"""The rows of the picture of what shrinks together: layers, groups of several layers, the operations that tie them, and attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from prunekit.formatting import plural
from prunekit.pruning.structured.channel_groups import DIMENSIONS, HEADS, ChannelGraph
from prunekit.ui.components.group_changes import INSIDE, Shrinking, listed

SIGNS = {
    "addition": "+", "product": "×", "division": "÷", "depthwise convolution": "dw", "grouped convolution": "gr",
    "concatenation along another axis": "||", "matrix product": "@",
}  # fmt: skip
OTHER = "•"


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
