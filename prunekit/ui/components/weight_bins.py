"""Histograms of weights from cached fine bins: a cut is drawn without touching the weights again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit import models
from prunekit.criteria.methods import CRITERIA
from prunekit.models.layers import LOOKED_UP
from prunekit.plots.weight_histograms import Bins, CutBins
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.unstructured.masks import LayerCut
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View, mask_of
from prunekit.ui.shared.model_cache import Source

FINE = 8192
BARS = 96
COVER = 0.996  # the share of weights inside the drawn range; rare outliers would squeeze the rest into one bar

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Fine:
    """Counts over many narrow bins, symmetric around zero and the same for all layers of a picture."""

    edges: NDArray[np.float64]
    counts: dict[str, Ints]


def _weights(source: Source, name: str) -> NDArray[np.float32]:
    """Return one layer's weights, flat."""
    flat: NDArray[np.float32] = models.weight_of(model_cache.load(source).model, name).cpu().float().numpy().reshape(-1)
    return flat


@shared(16, "Counting the weights, once …")
def fine(source: Source, layers: tuple[str, ...]) -> Fine:
    """Return fine histograms of some layers over shared bins."""
    weights = {name: _weights(source, name) for name in layers}
    most = max((float(np.abs(w).max()) for w in weights.values() if w.size), default=1.0) or 1.0
    counts = {name: _count(w, most) for name, w in weights.items()}
    return Fine(np.linspace(-most, most, FINE + 1), counts)


def _count(values: NDArray[np.float32], most: float) -> Ints:
    """Return counts over `FINE` equal bins in [-most, most]; quicker than a search for each value."""
    places = ((values.astype(np.float64) + most) * (FINE / (2 * most))).astype(np.int64)
    return np.bincount(np.clip(places, 0, FINE - 1), minlength=FINE).astype(np.int32)


def _window(fine_bins: Fine, *, together: bool = False) -> tuple[int, int]:
    """Return the fine bins to draw, as first and last place around the middle, in whole bars.

    Wide enough for the widest layer, or for all layers ``together``.
    """
    half, reach = FINE // 2, 1
    every = list(fine_bins.counts.values())
    for counts in [np.sum(every, axis=0)] if together else every:
        outward = counts[:half][::-1] + counts[half:]
        reach = max(reach, int(np.searchsorted(np.cumsum(outward), COVER * outward.sum())) + 1)
    step = max(1, math.ceil(2 * reach / BARS))
    side = min(half, math.ceil(reach / step) * step)
    return half - side, half + side


def _bars(counts: Ints | NDArray[np.float64], window: tuple[int, int]) -> NDArray[np.float64]:
    """Sum fine bins into bars; what lies outside the window counts in the outermost bars."""
    first, last = window
    step = max(1, math.ceil((last - first) / BARS))
    starts = np.arange(first, last, step)
    bars = np.add.reduceat(counts[:last].astype(np.float64), starts)
    bars[0] += counts[:first].sum()
    bars[-1] += counts[last:].sum()
    return bars


def _edges(fine_bins: Fine, window: tuple[int, int]) -> NDArray[np.float64]:
    """Return the edges of the bars."""
    first, last = window
    step = max(1, math.ceil((last - first) / BARS))
    return np.asarray(fine_bins.edges[np.append(np.arange(first, last, step), last)])


@shared(64, "Counting the weights …")
def distributions(source: Source, layers: tuple[str, ...]) -> list[Bins]:
    """Return the histograms of some layers over shared bins."""
    found = fine(source, layers)
    window = _window(found)
    moments = {name: _weights(source, name) for name in layers}
    return [
        Bins(
            name,
            _edges(found, window),
            _bars(found.counts[name], window).astype(np.int64),
            float(w.mean(dtype=float)),
            float(w.std(dtype=float)),
        )
        for name, w in moments.items()
    ]


@shared(64)
def norms(source: Source, layers: tuple[str, ...], p: int = 1) -> pd.DataFrame:
    """Return the norm of each filter, output or row of some layers, strongest first, relative to the layer's mean."""
    parts, model = [], model_cache.load(source).model
    for name in layers:
        weight = models.weight_of(model, name)
        values = models.filter_norms(weight, p)
        unit = "row" if isinstance(model.get_submodule(name), LOOKED_UP) else "filter" if weight.ndim > 2 else "output"
        order = np.argsort(-values, kind="stable")
        place = np.arange(1, len(values) + 1) / len(values)
        mean = values.mean() or 1.0
        parts.append(pd.DataFrame({"layer": name, "place": place, "norm": values[order] / mean, "filter": order, "unit": unit}))
    return pd.concat(parts, ignore_index=True)


def cut_bins(source: Source, view: View, focus: str | None, layers: tuple[str, ...]) -> CutBins:
    """Return the weights of one layer, or of all ticked ones, split into kept and removed.

    Exact for magnitude criteria up to the width of one of `FINE` bins; a random choice takes the same share of every bin.
    """
    assert not isinstance(view.cut, Plan)
    found = fine(source, (focus,) if focus else layers)
    gone = dict(zip(view.frame["name"], view.frame["gone"], strict=True))
    taking = [name for name in found.counts if name in view.cut]
    removed = sum((_removed(source, view, name, found, int(gone[name])) for name in taking), np.zeros(FINE))
    lines = {_line(view, name, found, int(gone[name])) for name in taking}
    total = np.sum(list(found.counts.values()), axis=0)
    window = _window(found, together=True)
    below = _bars(removed, window)
    return CutBins(_edges(found, window), _bars(total, window) - below, below, lines.pop() if len(lines) == 1 else None)


def _by_size(view: View) -> bool:
    """Return whether the weights of one layer go in the order of their magnitude."""
    return view.spec.mode == "unstructured" and CRITERIA[view.spec.criterion].by_size


def _outward(counts: Ints) -> NDArray[np.int64]:
    """Return how many weights lie within each distance from zero, in bins."""
    half = FINE // 2
    within: NDArray[np.int64] = np.cumsum(counts[:half][::-1].astype(np.int64) + counts[half:])
    return within


def _removed(source: Source, view: View, name: str, found: Fine, gone: int) -> NDArray[np.float64]:
    """Return how many weights are removed in each bin of one layer."""
    counts = found.counts[name]
    if CRITERIA[view.spec.criterion].random and view.spec.mode == "unstructured":
        return counts.astype(np.float64) * (gone / max(int(counts.sum()), 1))
    if not _by_size(view):
        lost = _weights(source, name)[~mask_of(view, name).reshape(-1)]
        return _count(lost, float(found.edges[-1])).astype(np.float64)
    within = _outward(counts)
    before = np.concatenate([[0], within[:-1]])
    share = np.clip((gone - before) / np.maximum(within - before, 1), 0, 1)  # of each distance: all, none, and once a part
    return np.asarray(counts * np.concatenate([share[::-1], share]), np.float64)


def _line(view: View, name: str, found: Fine, gone: int) -> float | None:
    """Return the magnitude below which the weights of one layer go; None where there is no such line."""
    if not _by_size(view):
        return None
    size_at = CRITERIA[view.spec.criterion].size_at
    if size_at is None:  # as LAMP: its scores tell no magnitude by themselves, but have the order of magnitudes
        place = int(np.searchsorted(_outward(found.counts[name]), gone))
        return float(found.edges[FINE // 2 + 1 + place]) if gone else None
    rule = view.cut[name] if not isinstance(view.cut, Plan) else None
    score = max(float(rule.threshold), 0.0) if isinstance(rule, LayerCut) else 0.0
    return size_at(score) or None
