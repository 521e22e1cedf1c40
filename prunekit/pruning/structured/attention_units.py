"""Units of attention told as heads: which query heads a unit stands for, and which of them share keys and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.models.attention.transformers_sizes import QUERIES, heads_in
from prunekit.pruning.structured.channel_groups import Bools, ChannelGraph, Group

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
