"""The heads of attention as strips: on the Layers page by their score, on the Prune page also which are removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from torch import nn

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.models.attention.transformers_sizes import QUERIES, heads_in
from prunekit.plots.cells import head_strip, head_strip_caption
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import Bools, ChannelGraph, Group
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.ui.components import show
from prunekit.ui.shared import cuts, model_cache, scores
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import NO_IMAGES, Loaded, Source

HIGH = 520  # pixels: a taller picture scrolls on its own


@shared(16)
def _scored(source: Source) -> pd.DataFrame:
    """Return the heads of a dense model with their score by magnitude; none where structured pruning cannot see them."""
    try:
        graph = cuts.graph(source)
        if not any(group.kind == "heads" for group in graph.groups):
            return pd.DataFrame()
        ranking = scores.ranking_of(source, PruneSpec(mode="structured"), NO_IMAGES)
    except PrunekitError:
        return pd.DataFrame()
    assert isinstance(ranking, ChannelRanking)
    return head_frame(graph, model_cache.load(source).model, None, _plain(ranking))


def _plain(ranking: ChannelRanking) -> dict[str, np.ndarray]:
    """Return the scores of a ranking's groups as numbers."""
    return {name: np.asarray(each, dtype=np.float64) for name, each in ranking.scores.items()}


def of_layers(loaded: Loaded) -> None:
    """Show the heads of a dense model, where it has some that can go."""
    frame = _scored(loaded.source)
    if frame.empty:
        return
    show.section("Which heads of attention are there?", "Each cell is a head, which structured pruning can take away as a whole.")
    _draw(frame, f"{CRITERIA[DEFAULT_CRITERION].title} score", "heads_of_layers")


def of_cut(loaded: Loaded, view: View) -> None:
    """Show which heads stay, where some may go."""
    if not isinstance(view.cut, Plan) or not isinstance(view.ranking, ChannelRanking):
        return
    frame = head_frame(view.cut.graph, loaded.model, view.cut.gone, _plain(view.ranking))
    if not frame.empty:
        stays = [not within(name, view.cut.blocks) for name in frame["layer"]]
        frame = frame.assign(kept=frame["kept"].to_numpy(dtype=bool) & np.array(stays))
        show.section("Which heads stay?")
        _draw(frame, f"{CRITERIA[view.spec.criterion].title} score", "heads_of_cut")


def _draw(frame: pd.DataFrame, what: str, key: str) -> None:
    """Draw the strips."""
    fig = head_strip(frame, what=what, dark=show.dark())
    with st.container(height=HIGH if fig.layout.height > HIGH else "content", border=False):
        show.chart(fig, key, "", alt="Heads of attention, layer by layer")
    st.caption(show.plain(head_strip_caption(frame, what)))


COLUMNS = ["layer", "head", "kept", "score", "group"]


def head_frame(
    graph: ChannelGraph, model: nn.Module, gone: Bools | None = None, scores: Mapping[str, NDArray[Any]] | None = None
) -> pd.DataFrame:
    """Return every head of attention that may go.

    ``layer`` (the attention module), ``head`` (from 0), ``kept``, ``score`` (NaN where nobody scored it) and ``group``: the set of keys and
    values that the head reads. Empty where no head can go.
    """
    found: dict[tuple[str, int], tuple[bool, float, int]] = {}
    for group in graph.groups:
        if group.kind != "heads":
            continue
        layer = group.layers[0]
        module = model.get_submodule(layer)
        name = layer.rpartition(".")[0] if hasattr(module, "weight") and layer.rpartition(".")[0] else layer
        heads, shared = _heads(graph, group, model.get_submodule(name))
        told = None if scores is None else scores.get(group.id)
        for unit, covered in enumerate(heads):
            stays = gone is None or not bool(gone[group.atoms[unit]])
            for head in covered:
                before = found.get((name, head), (True, np.nan, shared(unit, head)))
                found[name, head] = before[0] and stays, before[1] if told is None else float(told[unit]), before[2]
    rows = [(*place, *values) for place, values in sorted(found.items(), key=lambda item: (_order(graph, item[0][0]), item[0][1]))]
    return pd.DataFrame(rows, columns=COLUMNS)


def _order(graph: ChannelGraph, name: str) -> int:
    """Return where a module comes among the layers."""
    return next((i for i, layer in enumerate(graph.layers) if layer == name or layer.startswith(f"{name}.")), len(graph.layers))


def _heads(graph: ChannelGraph, group: Group, module: nn.Module) -> tuple[list[list[int]], Callable[[int, int], int]]:
    """Return the query heads of each unit, and what says which keys and values a head of a unit reads."""
    runs = {layer: [_runs(graph, layer, int(atom)) for atom in group.atoms] for layer in group.layers}
    first = group.layers[0]
    width = min((size for each in runs.values() for unit in each for _, size in unit), default=1)
    # rows of queries, keys and values in one weight: the first third are queries
    packed = first.rpartition(".")[2] not in QUERIES and len(group.layers) == 1 and all(len(unit) == 3 for unit in runs[first])
    end = len(graph.outputs[first]) // (3 if packed else 1)
    heads = [[(start + i) // width for start, size in unit if start < end for i in range(0, size, width)] for unit in runs[first]]
    queries, keys = heads_in(module)
    if keys and queries > keys:
        return heads, lambda unit, head: head // (queries // keys)
    return heads, lambda unit, head: unit


def _runs(graph: ChannelGraph, layer: str, atom: int) -> list[tuple[int, int]]:
    """Return where the outputs of a layer that belong to a unit begin, and how many follow each other."""
    positions, atoms, _ = graph.incidence[layer]
    mine = np.sort(positions[atoms == atom])
    parts = np.split(mine, np.flatnonzero(np.diff(mine) != 1) + 1)
    return [(int(part[0]), len(part)) for part in parts if part.size]
