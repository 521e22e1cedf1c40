"""Which weights, or which channels, two runs both keep, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import DENSE
from prunekit.experiments.run_structure import Structure
from prunekit.models.layers import prunable_layers
from prunekit.pruning.structured.channel_groups import Group

LAYER_COLUMNS = ["layer", "letter", "width_before", "width_after", "weights", "kept", "sparsity"]


def layer_frame(structures: Mapping[str, Structure], baseline: Structure | None = None) -> pd.DataFrame:
    """Return a row for each layer and run.

    Parameters
    ----------
    structures : mapping of str to Structure
        Letter to what `prunekit.experiments.run_structure.structure_of` says.
    baseline : Structure, optional
        The dense model's; adds rows of letter "Dense" and settles the order of the layers.

    Returns
    -------
    DataFrame
        ``layer``, ``letter``, ``width_before`` and ``width_after`` (output channels), ``weights`` (in the dense layer), ``kept`` (of
        them), ``sparsity`` (share that is gone, 0..1); the last two are NaN where it is not known which weights stay.
    """
    told = {**({} if baseline is None else {DENSE: baseline}), **structures}
    order = list(dict.fromkeys(layer for structure in told.values() for layer in structure.widths))
    weights = {layer: mask.numel() for structure in told.values() for layer, mask in structure.masks.items()}
    cells = [(layer, letter, structure) for layer in order for letter, structure in told.items() if layer in structure.widths]
    return pd.DataFrame([_row(*cell, weights.get(cell[0], np.nan)) for cell in cells], columns=LAYER_COLUMNS)


def _row(layer: str, letter: str, structure: Structure, weights: float) -> tuple[object, ...]:
    """Return one layer of one run."""
    mask = structure.masks.get(layer)
    kept = np.nan if mask is None else int(mask.sum())
    return layer, letter, *structure.widths[layer], weights, kept, 1 - kept / weights if weights else np.nan


BIN_COLUMNS = ["letter", "left", "right", "count"]


def weight_bins(models: Mapping[str, nn.Module], layers: Sequence[str] | None = None, bins: int = 60) -> pd.DataFrame:
    """Count weights of several models over one set of bins, zeros apart.

    Parameters
    ----------
    models : mapping of str to nn.Module
        Letter to model.
    layers : sequence of str, optional
        Only these prunable layers; all when left out.
    bins : int
        How many, of equal width, symmetric about 0.

    Returns
    -------
    DataFrame
        ``letter``, ``left``, ``right``, ``count``; exact zeros are a row of their own with ``left == right == 0`` and are in no bin.

    Raises
    ------
    PrunekitError
        If no model has such a layer, or there is no bin.
    """
    if bins < 1:
        raise PrunekitError(f"a histogram needs at least 1 bin; got {bins}")
    _check(models, layers)
    values = {letter: _values(model, layers) for letter, model in models.items()}
    widest = max((float(np.abs(each).max()) for each in values.values() if each.size), default=0.0)
    edges = np.linspace(-widest, widest, bins + 1) if widest else np.linspace(-1.0, 1.0, bins + 1)
    rows = [row for letter, each in values.items() for row in _rows(letter, each, edges)]
    return pd.DataFrame(rows, columns=BIN_COLUMNS)


def _check(models: Mapping[str, nn.Module], layers: Sequence[str] | None) -> None:
    """Raise if no model has one of the layers."""
    known = list(dict.fromkeys(name for model in models.values() for name in prunable_layers(model)))
    unknown = [name for name in layers or () if name not in known]
    if unknown:
        raise PrunekitError(f"there is no prunable layer {', '.join(unknown)}: choose from {', '.join(known)}")


def _values(model: nn.Module, layers: Sequence[str] | None) -> NDArray[np.float64]:
    """Return the weights of some layers, one after the other; a layer whose block went has none."""
    modules, known = dict(model.named_modules()), prunable_layers(model)
    wanted = known if layers is None else [name for name in layers if name in known]
    parts = [modules[name].weight.detach().cpu().double().reshape(-1).numpy() for name in wanted]
    return np.concatenate(parts) if parts else np.zeros(0)


def _rows(letter: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[tuple[str, float, float, int]]:
    """Return the counts of one run, zeros first."""
    counts, _ = np.histogram(values[values != 0], bins=edges)
    zeros = (letter, 0.0, 0.0, int((values == 0).sum()))
    return [zeros, *((letter, float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True))]


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
