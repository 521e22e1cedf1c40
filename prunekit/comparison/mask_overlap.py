"""Which weights, or which channels, two runs both keep, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit.experiments.run_structure import Structure
from prunekit.pruning.structured.channel_groups import Group

ALL = "all layers"
OVERLAP_COLUMNS = ["first", "second", "layer", "both", "either", "jaccard", "expected"]
EXACT = 2000  # up to here chance is summed out; beyond, the ratio of the means is the same to three digits

Bools = NDArray[np.bool_]


class Counts(NamedTuple):
    """How many of ``n`` the first keeps, the second keeps, and both keep."""

    n: int
    first: int
    second: int
    both: int


@dataclass(frozen=True)
class Overlap:
    """How much two selections share."""

    both: int  # both, either: what both keep, and what at least one keeps
    either: int
    jaccard: float  # ``both / either``; NaN where nothing is kept
    expected: float  # what it would be on average if each had kept as many of each part at random


def overlap(structures: Mapping[str, Structure]) -> pd.DataFrame:
    """Say for each two runs which share of the weights that either keeps both keep.

    Parameters
    ----------
    structures : mapping of str to Structure
        Letter to what `experiments.run_structure.structure_of` says; masks over the dense shape. Runs of which it is not known which
        weights stay are left out.

    Returns
    -------
    DataFrame
        ``first``, ``second`` (letters), ``layer`` ("all layers" in the last row of a pair), ``both``, ``either`` (weights),
        ``jaccard`` (both / either; NaN where nothing is kept), ``expected`` (the same if each had kept as many weights of each layer
        at random). Layers that neither run pruned are left out.
    """
    kept = {
        letter: {layer: mask.cpu().numpy().reshape(-1) for layer, mask in structure.masks.items()}
        for letter, structure in structures.items()
        if structure.masks
    }
    return _frame(kept)


def channel_overlap(structures: Mapping[str, Structure], groups: Iterable[Group] = ()) -> pd.DataFrame:
    """Say the same of output channels, for runs that removed some.

    Parameters
    ----------
    structures : mapping of str to Structure
        Runs whose ``kept`` is None are left out.
    groups : iterable of Group, optional
        Of ``prunekit.pruning.trace(model).groups``: layers that shrink together count once, under the group's id.

    Returns
    -------
    DataFrame
        As `overlap`, in channels.
    """
    heads = {layer: (group.id if layer == group.layers[0] else "") for group in groups for layer in reversed(group.layers)}
    kept = {letter: _channels(structure, heads) for letter, structure in structures.items() if structure.kept is not None}
    return _frame(kept)


def _channels(structure: Structure, heads: Mapping[str, str]) -> dict[str, Bools]:
    """Return which outputs stay, by group; the first layer of a group speaks for all."""
    found = {}
    for layer, kept in (structure.kept or {}).items():
        name = heads.get(layer, layer)
        if name:
            found[name] = np.isin(np.arange(structure.widths[layer][0]), kept)
    return found


def _frame(kept: Mapping[str, Mapping[str, Bools]]) -> pd.DataFrame:
    """Return the rows of every pair."""
    rows: list[tuple[object, ...]] = []
    for (first, one), (second, other) in combinations(kept.items(), 2):
        counts = {layer: counted(one[layer], other[layer]) for layer in one if layer in other}
        pruned = {layer: found for layer, found in counts.items() if min(found.first, found.second) < found.n}
        for layer, parts in [*((layer, [found]) for layer, found in pruned.items()), (ALL, list(pruned.values()))]:
            told = shared(parts)
            rows.append((first, second, layer, told.both, told.either, told.jaccard, told.expected))
    return pd.DataFrame(rows, columns=OVERLAP_COLUMNS)


def counted(one: Bools, other: Bools) -> Counts:
    """Count two selections of the same things."""
    return Counts(one.size, int(one.sum()), int(other.sum()), int((one & other).sum()))


def shared(parts: Iterable[Counts]) -> Overlap:
    """Return what two selections share, over one part or several.

    By chance alone, what both keep of a part follows a hypergeometric distribution. Over a single small part the mean of the ratio is
    summed out; else the ratio of the means stands for it.
    """
    parts = list(parts)
    both, kept = sum(part.both for part in parts), sum(part.first + part.second for part in parts)
    if not kept:
        return Overlap(0, 0, np.nan, np.nan)
    if len(parts) == 1 and parts[0].n <= EXACT:
        return Overlap(both, kept - both, both / (kept - both), _mean_by_chance(parts[0]))
    mean = sum(part.first * part.second / part.n for part in parts if part.n)
    return Overlap(both, kept - both, both / (kept - both), mean / (kept - mean))


def _mean_by_chance(part: Counts) -> float:
    """Return the mean of both / either over all selections of these sizes."""
    from scipy.stats import hypergeom  # noqa: PLC0415 (slow to import)

    both = np.arange(max(0, part.first + part.second - part.n), min(part.first, part.second) + 1)
    chance = hypergeom.pmf(both, part.n, part.first, part.second)
    return float((chance * both / (part.first + part.second - both)).sum())
